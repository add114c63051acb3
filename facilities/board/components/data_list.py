"""The data list: how much is measured, what that costs, and over which interfaces it comes."""

from __future__ import annotations

from django.db.models import Count, Q

from facilities.board.cells import Cell, Evidence, State, number, share_state
from facilities.board.context import Context
from facilities.models import Point

KEY, TITLE = "data_list", "Data list"

HARDWARE = frozenset({"contact", "modbus", "bacnet", "ipmi", "dcgm", "opc", "canbus", "analog"})
"""Interfaces that end at a device or controller; others (redfish, snmp, http…) are software."""


def cells(context: Context) -> list[Cell]:
    """Stability, performance, rate, computing power, interfaces, completeness of facts."""
    return [
        _stability(context),
        _performance(context),
        _rate(context),
        _computing(context),
        _interfaces(context),
        _facts(context),
    ]


def _stability(context: Context) -> Cell:
    quality = context.quality
    share = quality.score if quality else None
    return Cell(
        "stability",
        "Stability (24/7)",
        "unknown" if share is None else f"quality score {share:.1%}",
        share_state(share, ok=0.97, fail=0.85),
        "mean of completeness, timeliness, validity and precision over all points",
        "quality trend of the facility, newest hour",
        quality.hour if quality else context.now,
        "" if share else "No score yet: the worker and beat must run.",
        (Evidence("Trend", "/quality/"),),
    )


def _performance(context: Context) -> Cell:
    planned, measured = context.plan.readings_per_s, context.flow.readings_per_s
    share = min(measured / planned, 1.0) if planned and context.flow.until else None
    return Cell(
        "performance",
        "Performance",
        "unknown"
        if share is None
        else f"{number(measured)} of {number(planned)} readings/s expected arrive",
        share_state(share, ok=0.95, fail=0.5),
        "received readings against the sum of 1 / sampling interval over all points",
        "source counters of the last ten minutes and the data list",
        context.flow.until or context.now,
        "" if share and share >= 0.95 else "See which source or point is silent.",
        (Evidence("Sources", "/quality/sources/"),),
    )


def _rate(context: Context) -> Cell:
    wanted = context.plan.wanted
    return Cell(
        "rate",
        "Points × sampling rate",
        f"{wanted.points:,} points · every {number(wanted.interval_s)} s = "
        f"{number(context.plan.readings_per_s)} readings/s",
        State.OK,
        "number of points over the mean declared interval (harmonic mean)",
        "the data list",
        context.now,
        evidence=(Evidence("Data list", "/points/"), Evidence("Plan more", "/requirements/plan/")),
    )


def _computing(context: Context) -> Cell:
    need = next(need for need in context.plan.needs if need.key == "cores")
    share = need.share or 0.0
    state = State.OK if share <= 0.7 else State.ATTENTION if share <= 1 else State.FAIL
    return Cell(
        "computing",
        "Computing power needed",
        f"{need.needed_text} of {need.available_text}",
        state if need.measured else State.UNKNOWN,
        need.how,
        "rates measured here" if need.measured else "assumed rates",
        context.plan.rates["ingest_us"].at or context.now,
        "" if need.measured else "Measure: python manage.py plan_capacity --measure",
        (Evidence("Capacity planner", "/requirements/plan/"),),
    )


def _interfaces(context: Context) -> Cell:
    found = list(
        Point.objects.values_list("source_interface").annotate(n=Count("pk")).order_by("-n")
    )
    total = sum(count for _, count in found)
    unset = sum(count for name, count in found if not name)
    said = [
        f"{name} {count:,} ({'hardware' if name.lower() in HARDWARE else 'software'})"
        for name, count in found
        if name
    ]
    return Cell(
        "interfaces",
        "Interface of each point",
        f"{total - unset:,} of {total:,} points declare one" if total else "no points",
        State.UNKNOWN if not total else State.OK if not unset else State.ATTENTION,
        "points by source_interface; hardware where the interface ends at a controller",
        "the data list",
        context.now,
        f"{unset:,} points say nothing of their interface; complete them in the data list."
        if unset
        else "",
        (Evidence("Data list", "/points/"),),
        tuple(said),
    )


def _facts(context: Context) -> Cell:
    missing = {
        name: count
        for name, count in Point.objects.aggregate(
            range=Count("pk", filter=Q(min_value=None) | Q(max_value=None)),
            unit=Count("pk", filter=Q(unit="")),
            precision=Count("pk", filter=Q(precision=None)),
            interval=Count("pk", filter=Q(sampling_interval_s=None)),
            unverified=Count("pk", filter=Q(verified=False)),
        ).items()
        if count
    }
    return Cell(
        "facts",
        "Declared facts",
        "complete" if not missing else f"{max(missing.values()):,} points lack something",
        State.OK if not missing else State.ATTENTION,
        "points without range, unit, precision or interval, or not verified by a person",
        "the data list",
        context.now,
        "Complete these facts: tests without them say unknown." if missing else "",
        (Evidence("Data list", "/points/"),),
        tuple(f"{name}: {count:,} points" for name, count in missing.items()),
    )
