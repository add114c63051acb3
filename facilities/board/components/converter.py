"""The data converter: what it takes in, what that costs, its logic, and whether it may fail."""

from __future__ import annotations

from django.db.models import Count, Q

from facilities.board.cells import Cell, Evidence, State, number, share_state
from facilities.board.context import Context
from facilities.models import CounterState, DerivedPoint, Source, SourceSeries
from facilities.models.quarantine import QuarantinedItem, QuarantineState

KEY, TITLE = "converter", "Data converter"


def cells(context: Context) -> list[Cell]:
    """Stability, performance, capacity, computing power, control logic, HA."""
    return [
        _stability(context),
        _performance(context),
        _capacity(context),
        _computing(context),
        _logic(context),
        _availability(context),
    ]


def _stability(context: Context) -> Cell:
    flow = context.flow
    taken = flow.readings_per_s
    share = 1 - flow.rejected_per_s / taken if taken else None
    waiting = QuarantinedItem.objects.filter(state=QuarantineState.WAITING).count()
    return Cell(
        "stability",
        "Stability (24/7)",
        "unknown" if share is None else f"{share:.2%} of items are converted",
        share_state(share, ok=0.999, fail=0.95),
        "items not rejected over items received",
        "source counters of the last ten minutes",
        flow.until or context.now,
        "Nothing arrives; check the sources."
        if share is None
        else "Correct the converter, then replay the quarantine."
        if share < 0.999
        else "",
        (Evidence("Quarantine", "/quarantine/"),),
        (f"{waiting:,} items wait in quarantine",) if waiting else (),
    )


def _performance(context: Context) -> Cell:
    cost = context.flow.transform_us
    return Cell(
        "performance",
        "Performance",
        "unknown" if cost is None else f"{number(cost)} µs a reading to decode, convert and check",
        State.UNKNOWN if cost is None else State.OK,
        "time of the transform step over decoded readings; small batches cost more a reading",
        "source counters of the last ten minutes",
        context.flow.until or context.now,
        "" if cost is not None else "Nothing arrives; check the sources.",
        (Evidence("Three steps by source", "/quality/sources/"),),
    )


def _capacity(context: Context) -> Cell:
    series = SourceSeries.objects.count()
    cost = context.plan.rates["ingest_us"]
    most = 1e6 / cost.value
    used = context.flow.readings_per_s / most
    return Cell(
        "capacity",
        "Data capacity",
        f"{number(context.flow.readings_per_s)} of about {number(most)} readings/s a process",
        (State.OK if used <= 0.7 else State.ATTENTION) if cost.measured else State.UNKNOWN,
        f"one second over {number(cost.value)} µs a reading: {cost.how}",
        f"{series:,} series are mapped by converters, others by their tag",
        cost.at or context.now,
        "" if cost.measured else "Measure: python manage.py plan_capacity --measure",
        (Evidence("Capacity planner", "/requirements/plan/"),),
    )


def _computing(context: Context) -> Cell:
    cost = context.flow.transform_us
    cores = (cost or 0.0) * context.flow.readings_per_s / 1e6
    return Cell(
        "computing",
        "Computing power",
        "unknown" if cost is None else f"{number(cores)} cores now",
        State.UNKNOWN if cost is None else State.OK if cores < 0.7 else State.ATTENTION,
        "transform time a second",
        "source counters of the last ten minutes",
        context.flow.until or context.now,
        "Nothing arrives; check the sources."
        if cost is None
        else "Add web processes: each converts by itself."
        if cores >= 0.7
        else "",
        (Evidence("Sources", "/quality/sources/"),),
    )


def _logic(context: Context) -> Cell:
    total = Source.objects.count()
    mapped = Source.objects.filter(converter__enabled=True).count()
    derived = DerivedPoint.objects.aggregate(
        all=Count("pk"), broken=Count("pk", filter=~Q(problem=""))
    )
    counters = CounterState.objects.count()
    broken = derived["broken"]
    return Cell(
        "logic",
        "Control logic",
        f"{mapped} of {total} sources convert, {derived['all']} derived points, {counters} counters",
        State.FAIL if broken else State.OK,
        "enabled converters, derived points and counters with a remembered state",
        "the converters of this installation",
        context.now,
        f"{broken} derived points cannot be computed; their page says why." if broken else "",
        (Evidence("Sources", "/sources/"),),
    )


def _availability(context: Context) -> Cell:
    live = context.processes.live
    doors = live.get("web", 0)
    helpers = sum(live.values()) - doors
    state = State.OK if doors > 1 else State.ATTENTION if doors == 1 else State.UNKNOWN
    return Cell(
        "availability",
        "High availability",
        f"{doors} live web {'process converts' if doors == 1 else 'processes convert'} pushes, "
        f"{helpers} {'worker replays and derives' if helpers == 1 else 'workers replay and derive'}",
        state,
        "processes seen in the last 45 seconds; mappings and counters are in the database, so any "
        "web process takes over from any other",
        "every process signs in and is seen each 15 seconds",
        context.now,
        {
            State.ATTENTION: "Run a second web process behind the load balancer.",
            State.UNKNOWN: "No web process has signed in yet.",
        }.get(state, ""),
        (Evidence("Software", "#software-availability"),),
    )
