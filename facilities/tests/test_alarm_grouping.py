"""Which alarm follows from which: the graph, the placement, and the demo plant's own topology."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from facilities.alarms import duty, engine
from facilities.alarms.grouping import Open, Window, place
from facilities.alarms.topology import Domain, Effect, Topology, domain_of, topology_of
from facilities.models import Alarm, AlarmEvent, AlarmPolicy, AlarmRule, LatestReading, Point
from facilities.signals import alarm_raised

T0 = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = Window(60, 900)
UTILITY, UPS, PDU, RACK, CRAC, SERVER, LEAF, LINK, SPINE, LEAK = range(1, 11)
KINDS = {
    UTILITY: "utility",
    UPS: "ups",
    PDU: "pdu",
    RACK: "rack",
    CRAC: "crac",
    SERVER: "server",
    LEAF: "leaf",
    LINK: "link",
    SPINE: "spine",
    LEAK: "leak_detector",
}
GRAPH = topology_of(
    kinds=KINDS,
    links=[
        ("power", UTILITY, UPS),
        ("power", UPS, PDU),
        ("power", PDU, RACK),
        ("power", UTILITY, CRAC),
        ("cooling", CRAC, RACK),
        ("network", SERVER, LEAF),
        ("network", LEAF, LINK),
        ("network", LINK, SPINE),
    ],
    inside=[(RACK, SERVER)],
)


def alarm(pk: int, asset: int, domain: Domain, *, at: float = 0, rank: int = 1, **more) -> Open:
    values = {
        "rule_kind": "threshold",
        "raised_at": T0 + timedelta(seconds=at),
        "cleared_at": None,
        "root_id": None,
        "suppressed": False,
        "safety": False,
        "quiet": False,
        **more,
    }
    return Open(id=pk, point_id=pk, asset_id=asset, domain=domain, rank=rank, **values)


def test_it_knows_what_a_failure_reaches():
    lost = GRAPH.consequences(UTILITY, Domain.STATE)
    assert lost[RACK].effect == Effect.UNPOWERED | Effect.HOT
    assert lost[CRAC].effect == Effect.UNPOWERED
    assert SERVER in lost
    assert LEAK not in lost
    hot = GRAPH.consequences(CRAC, Domain.STATE)
    assert (hot[RACK].effect, hot[RACK].distance) == (Effect.HOT, 1)
    assert PDU not in hot
    assert GRAPH.consequences(PDU, Domain.ELECTRICAL) == {}


def test_it_sends_network_failures_from_the_switch_down():
    down = GRAPH.consequences(LEAF, Domain.STATE)
    assert {LINK, SERVER} <= set(down)
    assert SPINE not in down
    assert LINK in GRAPH.consequences(SPINE, Domain.STATE)
    assert set(GRAPH.consequences(LINK, Domain.STATE)) == {LINK}


@pytest.mark.parametrize(
    ("facts", "domain"),
    [
        (("crac", "fault", "1", True), Domain.STATE),
        (("rack", "inlet_c", "Cel", False), Domain.THERMAL),
        (("hall", "humidity_pct", "%", False), Domain.THERMAL),
        (("pdu", "power_w", "W", False), Domain.ELECTRICAL),
        (("ups", "battery_pct", "%", False), Domain.ELECTRICAL),
        (("link", "error_rate", "1/s", False), Domain.NETWORK),
        (("hall", "pue", "1", False), Domain.OTHER),
        (("crac", "fault", "1", False), Domain.STATE),
        (("generator", "start_fail", "", False), Domain.STATE),
        (("ups", "runtime_s", "s", False), Domain.ELECTRICAL),
    ],
)
def test_it_tells_what_a_point_is_about(facts, domain):
    kind, quantity, unit, state = facts
    assert domain_of(asset_kind=kind, quantity=quantity, unit=unit, is_state=state) is domain


def test_it_hides_the_consequence_under_the_first_cause():
    placed = place(
        [
            alarm(1, UTILITY, Domain.STATE),
            alarm(2, CRAC, Domain.STATE, at=2),
            alarm(3, RACK, Domain.THERMAL, at=80),
            alarm(4, RACK, Domain.THERMAL, at=200, rank=0),
        ],
        GRAPH,
        WINDOW,
    )
    assert placed == {1: (None, False), 2: (1, True), 3: (1, True), 4: (1, False)}


@pytest.mark.parametrize(
    ("change", "root", "hidden"),
    [
        ({}, 1, True),
        ({"safety": True}, 1, False),
        ({"rank": 0}, 1, False),
        ({"at": 901}, None, False),
        ({"at": -61}, None, False),
        ({"at": -59}, 1, True),
        ({"domain": Domain.ELECTRICAL}, None, False),
        ({"rule_kind": "quality"}, None, False),
        ({"asset": LEAK}, None, False),
    ],
)
def test_it_hides_only_what_fits(change, root, hidden):
    other = {"asset": RACK, "domain": Domain.THERMAL, "at": 60.0, **change}
    asset, domain = other.pop("asset"), other.pop("domain")
    placed = place([alarm(1, CRAC, Domain.STATE), alarm(2, asset, domain, **other)], GRAPH, WINDOW)
    assert placed[2] == (root, hidden)


SOURCE, OTHER = 20, 21


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({}, True),
        ({"rule_kind": "quality"}, True),
        ({"at": 90_000}, True),  # however long the silence lasts
        ({"at": -59}, True),
        ({"at": -61}, False),  # silent before its source: a reason of its own
        ({"reporter": OTHER}, False),
        ({"reporter": None}, False),
        ({"rule_kind": "threshold"}, False),
        ({"rank": 0}, False),
    ],
)
def test_it_hides_a_silent_point_under_its_silent_source(change, hidden):
    values = {"rule_kind": "staleness", "reporter": SOURCE, **change}
    placed = place(
        [
            alarm(1, SOURCE, Domain.STATE),
            alarm(2, RACK, Domain.THERMAL, **values),
            alarm(3, OTHER, Domain.THERMAL, reporter=OTHER),
        ],
        GRAPH,
        WINDOW,
    )
    assert placed[2].suppressed is hidden
    assert placed[3] == (None, False)


def test_it_hides_nothing_under_an_alarm_that_nobody_sees():
    cause = alarm(1, CRAC, Domain.STATE, quiet=True)
    assert place([cause, alarm(2, RACK, Domain.THERMAL)], GRAPH, WINDOW)[2] == (1, False)
    mild = alarm(1, CRAC, Domain.STATE, rank=2)
    assert place([mild, alarm(2, RACK, Domain.THERMAL, rank=1)], GRAPH, WINDOW)[2] == (1, False)


def test_it_explains_silence_by_lost_power_or_network():
    silent = alarm(2, SERVER, Domain.THERMAL, rule_kind="staleness", at=30)
    assert place([alarm(1, LEAF, Domain.STATE), silent], GRAPH, WINDOW)[2] == (1, True)
    assert place([alarm(1, CRAC, Domain.STATE), silent], GRAPH, WINDOW)[2] == (None, False)


links = st.lists(
    st.tuples(
        st.sampled_from(["power", "cooling", "network"]), st.integers(1, 8), st.integers(1, 8)
    ),
    max_size=16,
)
opens = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from(list(Domain)),
        st.integers(0, 3),
        st.floats(-100, 1000),
        st.booleans(),
    ),
    max_size=12,
)


@given(links, opens)
def test_it_always_ends_at_an_alarm_that_is_shown(edges, found):
    graph: Topology = topology_of(
        kinds=dict.fromkeys(range(1, 9), "crac"),
        links=[edge for edge in edges if edge[1] != edge[2]],
        inside=[],
    )
    alarms = [
        alarm(pk, asset, domain, rank=rank, at=at, safety=safety)
        for pk, (asset, domain, rank, at, safety) in enumerate(found, 1)
    ]
    placed = place(alarms, graph, WINDOW)
    assert placed == place(alarms, graph, WINDOW)
    for each in alarms:
        root, hidden = placed[each.id]
        if hidden:
            assert not each.safety
            assert each.rank > 0
            assert root is not None
        if root is not None:
            assert root != each.id
            assert placed[root] == (None, False)


def read(tag: str, value: float, at: datetime) -> int:
    point = Point.objects.get(tag=tag)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": at, "value": value, "quality": 1, "received_at": at}
    )
    return point.pk


@pytest.mark.django_db
class TestDemoFaults:
    """On the demo facility's own file."""

    @pytest.fixture(autouse=True)
    def _demo(self, demo_facility):
        self.now = timezone.now()

    def evaluate(self, *readings: tuple[str, float], later_s: float = 0) -> None:
        at = self.now + timedelta(seconds=later_s)
        engine.evaluate(point_ids=[read(tag, value, at) for tag, value in readings], now=at)

    def placed(self) -> dict[str, tuple[str | None, bool]]:
        rows = Alarm.objects.filter(cleared_at=None).values_list(
            "point__tag", "root__point__tag", "suppressed"
        )
        return {tag: (root, hidden) for tag, root, hidden in rows}

    def test_it_groups_a_crac_trip_and_tells_of_one_alarm(
        self, django_capture_on_commit_callbacks
    ) -> None:
        heard = []

        def listen(sender, alarm_id, **kwargs):
            heard.append(Alarm.objects.get(pk=alarm_id).point.tag)

        alarm_raised.connect(listen)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                self.evaluate(("crac-2.fault", 1))
                hot = [("rack-1-03.inlet_c", 28.0), ("rack-2-03.inlet_c", 28.2)]
                self.evaluate(*hot, later_s=70)
                self.evaluate(*hot, later_s=82)
                self.evaluate(("leak-1.wet", 1), later_s=84)
                self.evaluate(("leak-1.wet", 1), later_s=87)
        finally:
            alarm_raised.disconnect(listen)
        assert self.placed() == {
            "crac-2.fault": (None, False),
            "rack-1-03.inlet_c": ("crac-2.fault", True),
            "rack-2-03.inlet_c": ("crac-2.fault", True),
            "leak-1.wet": (None, False),
        }
        assert heard == ["crac-2.fault", "leak-1.wet"]
        note = AlarmEvent.objects.filter(event="suppressed").first()
        assert note is not None
        assert note.note == "a consequence of CRAC fault on crac-2.fault"

    def test_it_shows_what_outlasts_its_cause(self, django_capture_on_commit_callbacks) -> None:
        self.evaluate(("crac-2.fault", 1))
        for later in (70, 82):
            self.evaluate(("rack-1-03.inlet_c", 28.0), later_s=later)
        self.evaluate(("crac-2.fault", 0), later_s=100)
        duty.tick(now=self.now + timedelta(seconds=200))
        assert self.placed() == {"rack-1-03.inlet_c": ("crac-2.fault", True)}
        grace = AlarmPolicy.current().release_after_s
        heard = []

        def listen(sender, alarm_id, **kwargs):
            heard.append(alarm_id)

        alarm_raised.connect(listen)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                done = duty.tick(now=self.now + timedelta(seconds=101 + grace))
                again = duty.tick(now=self.now + timedelta(seconds=102 + grace))
        finally:
            alarm_raised.disconnect(listen)
        assert (done.released, again.released) == (1, 0)
        assert self.placed() == {"rack-1-03.inlet_c": ("crac-2.fault", False)}
        assert heard == [Alarm.objects.get(cleared_at=None).pk]

    def test_it_takes_a_late_cause_for_the_root(self) -> None:
        AlarmRule.objects.filter(name="Rack inlet high").update(delay_s=0)
        self.evaluate(("rack-1-03.inlet_c", 28.0))
        assert self.placed()["rack-1-03.inlet_c"] == (None, False)
        self.evaluate(("crac-2.fault", 1), later_s=20)
        assert self.placed()["rack-1-03.inlet_c"] == ("crac-2.fault", True)

    def test_it_groups_an_open_breaker_and_keeps_critical_alarms_in_sight(self) -> None:
        self.evaluate(("pdu-a1.breaker_closed", 0))
        AlarmRule.objects.filter(name="Rack power high").update(delay_s=0)
        self.evaluate(("rack-1-03.power_w", 42000), ("rack-1-03.inlet_c", 33), later_s=5)
        self.evaluate(("rack-1-03.inlet_c", 33), later_s=16)
        placed = self.placed()
        assert placed["rack-1-03.power_w"] == ("pdu-a1.breaker_closed", True)
        # A rack that lost a feed does not get hot by it.
        assert placed["rack-1-03.inlet_c"] == (None, False)

    def test_it_keeps_fire_and_leak_in_sight_whatever_fails(self) -> None:
        self.evaluate(("utility-1.available", 0), ("fire-1.alarm", 1), ("leak-1.wet", 1))
        self.evaluate(("leak-1.wet", 1), later_s=3)
        safety = Alarm.objects.filter(point__asset__kind__in=["fire_panel", "leak_detector"])
        assert safety.count() == 2
        assert not safety.filter(suppressed=True).exists()
