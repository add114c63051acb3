"""Software and database: integrity, copies and scale-out, monitoring, events, AI analysis."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django.urls import Resolver404, resolve

from facilities.board.cells import Cell, Evidence, State, duration, number
from facilities.board.context import Context
from facilities.models import (
    AlarmRule,
    AnomalyWorker,
    EscalationChain,
    NotificationChannel,
    PointQuality,
    RollupMark,
)

KEY, TITLE = "software", "Software and database"
WATCHED = ("/metrics", "/health/live", "/health/ready")
INTEGRITY = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")


def cells(context: Context) -> list[Cell]:
    """Stability, performance, integrity, HA and scale-out, monitoring, events, AI analysis."""
    return [
        _stability(context),
        _performance(context),
        _integrity(context),
        _availability(context),
        _monitoring(context),
        _events(context),
        _analysis(context),
    ]


def _stability(context: Context) -> Cell:
    """Whether the jobs that must run all the time have run lately."""
    judged = PointQuality.objects.aggregate(at=Max("computed_at"))["at"]
    waiting = RollupMark.objects.order_by("marked_at").values_list("marked_at", flat=True).first()
    age = context.now - judged if judged else None
    lag = context.now - waiting if waiting else timedelta(0)
    fine = age is not None and age < timedelta(minutes=5) and lag < timedelta(minutes=5)
    return Cell(
        "stability",
        "Stability (24/7)",
        "no job has run yet"
        if age is None
        else f"quality judged {duration(age.total_seconds())} ago, "
        f"rollups {duration(lag.total_seconds())} behind",
        State.UNKNOWN if age is None else State.OK if fine else State.FAIL,
        "age of the newest verdict and of the oldest rollup that waits",
        "tables of the jobs",
        context.now,
        "" if fine else "Worker and beat must run: python manage.py up, or celery worker and beat.",
        (Evidence("Health", "/health/ready"),),
    )


def _performance(context: Context) -> Cell:
    commit = context.flow.transfer_ms
    return Cell(
        "performance",
        "Performance",
        "unknown" if commit is None else f"{number(commit)} ms from arrival to commit",
        State.UNKNOWN if commit is None else State.OK if commit < 250 else State.ATTENTION,
        "mean time of the transfer step of a request: queue, COPY and commit",
        "source counters of the last ten minutes",
        context.flow.until or context.now,
        "Nothing arrives; check the sources." if commit is None else "",
        (Evidence("Three steps by source", "/quality/sources/"),),
    )


def _integrity(context: Context) -> Cell:
    found = {}
    with connection.cursor() as cursor:
        for name in INTEGRITY:
            cursor.execute("SELECT current_setting(%s, true)", [name])
            found[name] = cursor.fetchone()[0] or "unknown"
    off = [name for name, value in found.items() if value in ("off", "unknown")]
    unsafe = set(off) & {"fsync", "full_page_writes"}
    return Cell(
        "integrity",
        "Integrity checks",
        "all on" if not off else f"off: {', '.join(off)}",
        State.FAIL if unsafe else State.ATTENTION if off else State.OK,
        "settings that make an acknowledged reading survive a crash and damage be noticed",
        "current_setting() of the database",
        context.now,
        f"Switch {', '.join(off)} on in PostgreSQL." if off else "",
        (Evidence("Audit trail", "/audit/"),),
        tuple(f"{name} {value}" for name, value in found.items()),
    )


def _availability(context: Context) -> Cell:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extname FROM pg_extension WHERE extname IN ('timescaledb', 'citus')")
        present = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT count(*) FROM pg_stat_replication")
        copies = cursor.fetchone()[0]
    layout = settings.STORE_LAYOUT
    return Cell(
        "availability",
        "HA and scale-out",
        f"readings in {layout}, {copies} copies",
        State.OK if copies else State.ATTENTION,
        "layout of the readings table and standbys of the database",
        "OPS_STORE_LAYOUT, pg_extension, pg_stat_replication",
        context.now,
        "" if copies else "One database is a single point of failure; add a standby for 24/7.",
        (Evidence("Snapshots", "/snapshots/"),),
        (f"extensions for scale-out: {', '.join(present) or 'none installed'}",),
    )


def _monitoring(context: Context) -> Cell:
    """Whether this process serves what a monitoring system asks for."""
    served = [path for path in WATCHED if _is_served(path)]
    missing = [path for path in WATCHED if path not in served]
    return Cell(
        "monitoring",
        "Monitoring",
        f"{len(served)} of {len(WATCHED)} endpoints are served: {', '.join(served) or 'none'}",
        State.OK if not missing else State.ATTENTION,
        "routes of this process for metrics, liveness and readiness",
        "the URL configuration",
        context.now,
        f"Route {', '.join(missing)} again; a monitoring system needs them." if missing else "",
        (Evidence("Ready?", "/health/ready"),),
    )


def _is_served(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _events(context: Context) -> Cell:
    rules = AlarmRule.objects.filter(enabled=True).count()
    chains = EscalationChain.objects.filter(enabled=True).count()
    channels = NotificationChannel.objects.filter(enabled=True).count()
    state = State.OK if rules and chains and channels else State.ATTENTION
    missing = [
        name
        for name, count in (
            ("alarm rules", rules),
            ("escalation chains", chains),
            ("notification channels", channels),
        )
        if not count
    ]
    return Cell(
        "events",
        "Event management",
        f"{rules} alarm rules, {chains} escalation chains, {channels} notification channels",
        state,
        "enabled rules, chains and channels",
        "the alarm configuration",
        context.now,
        f"Nobody is called at night: no {' and no '.join(missing)}." if missing else "",
        (Evidence("Alarms", "/alarms/"),),
    )


def _analysis(context: Context) -> Cell:
    worker = AnomalyWorker.objects.first()
    if worker is None or worker.scored_until is None:
        return Cell(
            "analysis", "AI analysis", "unknown", State.UNKNOWN,
            "state of the anomaly detector", "it has not scored anything yet", context.now,
            "The telemetry worker must run.",
        )  # fmt: skip
    lag = (context.now - worker.scored_until).total_seconds()
    return Cell(
        "analysis",
        "AI analysis",
        f"anomaly detector on {worker.warm_points:,} of {worker.points:,} points, {lag:.0f} s behind",
        State.OK if lag < 120 and worker.warm_points else State.ATTENTION,
        "points past their warm-up, and the age of what was scored last",
        "state of the anomaly detector",
        worker.scored_until,
        "The telemetry worker is away or overloaded."
        if lag >= 120
        else ""
        if worker.warm_points
        else "It learns first; nothing to do but wait.",
        (Evidence("Engine", "/engine/"),),
    )
