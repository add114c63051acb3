"""Every kind of action: inside limits, on its own points, undone by its rollback, refused when it
would harm.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from approvals.canonical import canonical_json
from approvals.catalogue import KINDS, Action, ActionKind, action_read, check_conditions
from approvals.catalogue.situation import Situation
from approvals.errors import InvalidActionError
from approvals.tests.catalogue_kit import (
    CRAC_2_DOWN,
    DRAINED,
    XID,
    Site,
    params_for,
    with_values,
)

pytestmark = pytest.mark.django_db
ASKED = [kind for kind in KINDS.values() if not kind.is_internal]


@pytest.fixture
def site(demo_facility: None) -> Site:
    return Site()


def _failed(action: Action, situation: Situation) -> list[str]:
    """The points of the conditions that do not hold."""
    conditions = (c.as_dict() for c in KINDS[action.kind].conditions(action, situation))
    checked = check_conditions(conditions, situation.values, now=timezone.now())
    return [c.tag for c in checked if not c.ok]


def _points(kind: ActionKind) -> set[tuple[str, str]]:
    return set(kind.points) or set(getattr(kind, "orders", ()))


@pytest.mark.parametrize("kind", ASKED, ids=lambda kind: kind.name)
def test_it_says_what_it_is(kind: ActionKind) -> None:
    assert kind.risk in ("low", "medium", "high")
    assert kind.title
    assert kind.summary.endswith(".")
    assert kind.query
    assert all(word for group in kind.step_words for word in group)
    assert kind.cool_down_s >= 0
    assert kind.name == "open_work_order" or _points(kind)


def test_it_offers_nothing_on_a_healthy_site(site: Site) -> None:
    situation = site.situation()
    assert [a for kind in KINDS.values() for a in kind.candidates(situation)] == []


QUANTITIES = ["inlet_c", "fault", "xid", "temp_c", "throttle_reasons", "error_rate", "supply_c",
              "power_w", "throughput_pct", "filter_dp_pa", ""]  # fmt: skip
# What disturbs the site: points, and the values they may take.
DISTURBED = {
    **{f"crac-{n}.{q}": [0.0, 1.0] for n in range(1, 5) for q in ("running", "fault", "run_cmd")},
    **{f"crac-{n}.fan_speed_sp_pct": [30.0, 55.0, 88.0, 100.0] for n in range(1, 4)},
    **{f"crac-{n}.supply_sp_c": [14.0, 14.6, 19.0, 24.0] for n in range(1, 4)},
    **{f"crac-{n}.damper_pct": [0.0, 40.0, 100.0] for n in range(1, 5)},
    **{f"{t}.{q}": [0.0, 1.0] for t in ("chiller-1", "chiller-2", "chwp-1", "chwp-2", "tower-1",
                                       "cdu-1") for q in ("running", "fault", "run_cmd")},
    "chiller-1.supply_sp_c": [7.0, 8.2, 14.0], "chiller-1.supply_c": [9.0, 15.0],
    **{f"rack-1-0{n}.inlet_c": [19.0, 28.0, 31.0, 34.0] for n in (3, 4)},
    **{f"rack-1-0{n}.load_cap_pct": [40.0, 60.0, 100.0] for n in (3, 4)},
    "srv-11.in_service": [0.0, 1.0], "srv-11.cordoned": [0.0, 1.0],
    "srv-11-gpu-2.xid": [0.0, 74.0, 79.0], "srv-11-gpu-2.util_pct": [0.0, 80.0],
    "srv-05-gpu-3.temp_c": [70.0, 88.0], "srv-05-gpu-3.power_limit_w": [200.0, 450.0, 700.0],
    "srv-10-gpu-0.throttle_reasons": [0.0, 136.0],
    "link-leaf-2-spine-1.error_rate": [0.1, 40.0], "link-leaf-2-spine-2.error_rate": [0.1, 40.0],
    "link-leaf-2-spine-1.enabled": [0.0, 1.0], "link-leaf-2-spine-2.util_pct": [30.0, 80.0],
}  # fmt: skip
SUBJECTS = ["crac-2", "rack-1-03", "rack-1-04", "chiller-1", "chwp-1", "srv-11-gpu-2", "srv-11",
            "srv-05-gpu-3", "link-leaf-2-spine-1", "job-2", "ups-a", "cdu-1"]  # fmt: skip


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_it_never_leaves_its_limits_and_always_knows_the_way_back(
    demo_facility: None, data: st.DataObject
) -> None:
    """Candidates of any situation: they fit their schema, write only their own points inside the
    limits, hold their own conditions unless something else stands against them, and their rollback
    leads back to what there was."""
    site = Site()
    tags = data.draw(st.lists(st.sampled_from(sorted(DISTURBED)), max_size=9, unique=True))
    changes = {tag: data.draw(st.sampled_from(DISTURBED[tag])) for tag in tags}
    subject = data.draw(st.sampled_from(SUBJECTS))
    quantity = data.draw(st.sampled_from(QUANTITIES))
    point = f"{subject}.{quantity}"
    situation = site.situation(changes, alarm=point if quantity else "")
    for kind in ASKED:
        for action in kind.candidates(situation):
            schema = kind.schema(action.target, situation)
            Draft202012Validator(schema).validate(dict(action.params))
            _stays_inside(kind, action, situation)
            own = [
                c.as_dict()
                for c in kind.conditions(action, situation)
                if c.tag.startswith(f"{action.target}.")
            ]
            checked = check_conditions(own, situation.values, now=timezone.now())
            assert [c.detail for c in checked if not c.ok] == []


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_it_takes_whatever_a_form_may_send(demo_facility: None, data: st.DataObject) -> None:
    situation = Site().situation()
    kind = data.draw(st.sampled_from([k for k in ASKED if not k.needs_procedures]))
    targets = kind.targets(situation)
    assert targets
    target, name = data.draw(st.sampled_from(targets))
    schema = kind.schema(target, situation)
    params = params_for(schema, lambda n: data.draw(st.integers(0, n - 1)))
    Draft202012Validator(schema).validate(params)
    action = action_read(kind.name, target, params, schema)
    _stays_inside(kind, action, situation)
    assert name in kind.sentence(action, name)
    assert len(kind.sentence(action, name)) <= 200
    canonical_json([w.as_dict() for w in kind.writes(action, situation)])


def _stays_inside(kind: ActionKind, action: Action, situation: Situation) -> None:
    writes = kind.writes(action, situation)
    assert writes
    for write in writes:
        if write.body is not None:
            assert kind.name == "open_work_order"
            assert write.body["asset"] == write.asset == action.target
            continue
        limits = situation.limits[write.tag]
        assert limits.low <= write.value <= limits.high
        assert (situation.kind_of(write.asset), write.tag.rpartition(".")[2]) in _points(kind)
        place = situation.assets[write.asset]
        assert action.target in (write.asset, place.parent, place.rack)
    effect = kind.effect(action, situation)
    present = {w.tag: situation.values[w.tag].value for w in writes if w.tag in situation.values}
    for back in effect.rollback:
        limits = situation.limits[back.tag]
        assert limits.low <= back.value <= limits.high
    after = with_values(situation, {w.tag: w.value for w in writes})
    restored = {**{t: after[t].value for t in present}, **{b.tag: b.value for b in effect.rollback}}
    undoable = {
        tag for tag, value in present.items()
        if situation.limits[tag].low <= value <= situation.limits[tag].high
    } if kind.name != "reset_node" else set()  # fmt: skip
    assert {t: restored[t] for t in undoable} == {t: present[t] for t in undoable}
    assert not effect.tag or effect.tag in situation.values
    assert effect.window_s > 0
    assert effect.sentence


class TestMachines:
    def test_it_starts_the_standby_of_what_is_lost(self, site: Site) -> None:
        situation = site.situation(
            {"chwp-1.running": 0.0, "chwp-1.fault": 1.0}, alarm="chwp-1.fault"
        )
        [action] = KINDS["start_standby_unit"].candidates(situation)
        assert action.target == "chwp-2"
        assert _failed(action, situation) == []
        assert KINDS["start_standby_unit"].merit(action, situation) == 1.0
        effect = KINDS["start_standby_unit"].effect(action, situation)
        assert (effect.tag, effect.direction) == ("chwp-2.flow_lps", "above")

    def test_it_starts_no_chiller_without_a_pump(self, site: Site) -> None:
        situation = site.situation({"chwp-1.running": 0.0, "chiller-1.fault": 1.0})
        assert _failed(Action("start_standby_unit", "chiller-2"), situation) == ["chwp-1.running"]

    def test_it_stops_a_unit_only_while_the_others_carry_the_hall(self, site: Site) -> None:
        """Three units at 70 % remove 189 kW; two of them 126 kW, of which 90 % may be used."""
        stop = Action("stop_unit", "crac-1")
        assert _failed(stop, site.situation()) == ["hall-1.it_power_w"]
        assert _failed(stop, site.situation({"hall-1.it_power_w": 113_000.0})) == []
        fast = {f"crac-{n}.fan_speed_sp_pct": 100.0 for n in (2, 3)}
        assert _failed(stop, site.situation({"hall-1.it_power_w": 161_000.0, **fast})) == []
        slowed = site.situation({"hall-1.it_power_w": 161_000.0, **fast})
        conditions = [c.as_dict() for c in KINDS["stop_unit"].conditions(stop, slowed)]
        later = site.situation({"hall-1.it_power_w": 161_000.0})
        checked = check_conditions(conditions, later.values, now=timezone.now())
        assert [c.tag for c in checked if not c.ok] == [
            "crac-2.fan_speed_sp_pct", "crac-3.fan_speed_sp_pct",
        ]  # fmt: skip

    def test_it_never_stops_the_last_of_a_kind(self, site: Site) -> None:
        situation = site.situation()
        assert set(_failed(Action("stop_unit", "chwp-1"), situation)) == {
            "cdu-1.running",
            "crac-1.running",
            "crac-2.running",
            "crac-3.running",
        }
        assert _failed(Action("stop_unit", "chiller-1"), situation) == ["chwp-1.running"]
        assert _failed(Action("stop_unit", "tower-1"), situation) == ["chiller-1.running"]
        assert _failed(Action("stop_unit", "cdu-1"), situation) == ["rack-2-04.power_w"]

    def test_it_stops_a_pump_once_the_other_shows_flow(self, site: Site) -> None:
        both = {"chwp-2.running": 1.0, "chwp-2.run_cmd": 1.0}
        stop = Action("stop_unit", "chwp-1")
        assert _failed(stop, site.situation(both)) == ["chwp-2.flow_lps"]
        assert _failed(stop, site.situation({**both, "chwp-2.flow_lps": 7.5})) == []

    def test_it_stops_a_chiller_that_the_other_can_replace(self, site: Site) -> None:
        both = {"chiller-2.running": 1.0, "chiller-2.load_pct": 33.0, "chiller-1.load_pct": 33.0}
        stop = Action("stop_unit", "chiller-1")
        assert _failed(stop, site.situation(both)) == []
        assert set(_failed(stop, site.situation({**both, "chiller-1.load_pct": 60.0}))) == {
            "chiller-1.load_pct"
        }

    def test_it_closes_the_damper_of_a_lost_unit_and_of_no_running_one(self, site: Site) -> None:
        lost = site.situation(CRAC_2_DOWN, alarm="crac-2.fault")
        [action] = KINDS["set_damper"].candidates(lost)
        assert (action.target, action.params) == ("crac-2", {"damper_pct": 0.0})
        assert _failed(action, lost) == []
        closing = Action("set_damper", "crac-1", {"damper_pct": 0.0})
        assert _failed(closing, site.situation()) == ["crac-1.running"]

    def test_it_lowers_the_water_that_is_too_warm(self, site: Site) -> None:
        warm = site.situation({"chiller-1.supply_c": 14.6}, alarm="chiller-1.supply_c")
        actions = KINDS["set_chilled_water_setpoint"].candidates(warm)
        assert [a.params["chilled_water_c"] for a in actions] == [8.0, 9.0]
        effect = KINDS["set_chilled_water_setpoint"].effect(actions[0], warm)
        assert (effect.tag, effect.threshold) == ("chiller-1.supply_c", 9.0)


class TestPower:
    def test_it_transfers_one_ups_that_the_other_can_replace(self, site: Site) -> None:
        go = Action("transfer_ups_to_bypass", "ups-a")
        assert _failed(go, site.situation()) == []
        for changes in ({"utility-1.available": 0.0}, {"ups-b.bypass": 1.0},
                        {"ups-b.on_battery": 1.0}, {"ups-a.load_pct": 50.0},
                        {"ups-a.input_v": 0.0}):  # fmt: skip
            assert _failed(go, site.situation(changes)) == list(changes)

    def test_it_comes_back_from_bypass_only(self, site: Site) -> None:
        back = Action("return_ups_from_bypass", "ups-a")
        assert _failed(back, site.situation()) == ["ups-a.bypass"]
        assert _failed(back, site.situation({"ups-a.bypass": 1.0})) == []


class TestCompute:
    def test_it_drains_then_resets_the_server_with_the_error(self, site: Site) -> None:
        drain, reset = KINDS["drain_node"], KINDS["reset_node"]
        broken = site.situation(XID, alarm="srv-11-gpu-2.xid")
        [action] = drain.candidates(broken)
        assert (action.target, _failed(action, broken)) == ("srv-11", [])
        assert reset.candidates(broken) == []
        assert "srv-11.in_service" in _failed(Action("reset_node", "srv-11"), broken)
        drained = site.situation({**XID, **DRAINED}, alarm="srv-11-gpu-2.xid")
        assert drain.candidates(drained) == []
        [action] = reset.candidates(drained)
        assert _failed(action, drained) == []
        [write] = reset.writes(action, drained)
        assert write.as_dict() == {"tag": "srv-11.reset_cmd", "value": 1.0, "read_back": False}
        assert reset.effect(action, drained).rollback == ()

    def test_it_finds_the_server_that_slows_a_job(self, site: Site) -> None:
        slow = {"srv-10-gpu-0.throttle_reasons": 136.0, "job-2.throughput_pct": 55.0}
        [action] = KINDS["drain_node"].candidates(
            site.situation(slow, alarm="job-2.throughput_pct")
        )
        assert action.target == "srv-10"

    def test_it_caps_a_hot_gpu_or_a_whole_server(self, site: Site) -> None:
        cap = KINDS["set_gpu_power_cap"]
        hot = site.situation({"srv-05-gpu-3.temp_c": 88.0}, alarm="srv-05-gpu-3.temp_c")
        action = cap.candidates(hot)[0]
        effect = cap.effect(action, hot)
        assert (action.target, effect.tag) == ("srv-05-gpu-3", "srv-05-gpu-3.temp_c")
        whole = Action("set_gpu_power_cap", "srv-05", {"power_limit_w": 500.0})
        assert [w.tag for w in cap.writes(whole, hot)] == [
            f"srv-05-gpu-{n}.power_limit_w" for n in range(8)
        ]
        assert len(cap.effect(whole, hot).rollback) == 8

    def test_it_moves_only_work_that_has_somewhere_to_go(self, site: Site) -> None:
        """job-1 lives on racks 1-03 and 1-04; job-2 on rack 2-03 alone."""
        kind = KINDS["migrate_rack_load"]
        hot = site.situation({"rack-1-03.inlet_c": 31.0}, alarm="rack-1-03.inlet_c")
        [action] = kind.candidates(hot)
        assert action.params == {"servers": ["srv-01", "srv-02", "srv-03", "srv-04"]}
        assert _failed(action, hot) == []
        alone = site.situation({"rack-2-03.inlet_c": 31.0}, alarm="rack-2-03.inlet_c")
        assert kind.candidates(alone) == []
        stranded = Action(kind.name, "rack-2-03", {"servers": ["srv-09", "srv-10", "srv-11",
                                                               "srv-12"]})  # fmt: skip
        assert _failed(stranded, alone) == ["job-2.running"]

    def test_it_disables_a_link_whose_twin_is_clean_and_has_room(self, site: Site) -> None:
        bad = {"link-leaf-2-spine-1.error_rate": 40.0}
        kind = KINDS["disable_link"]
        alarm = "link-leaf-2-spine-1.error_rate"
        [action] = kind.candidates(site.situation(bad, alarm=alarm))
        assert _failed(action, site.situation(bad)) == []
        full = site.situation({**bad, "link-leaf-2-spine-2.util_pct": 60.0})
        assert _failed(action, full) == ["link-leaf-2-spine-2.util_pct"]
        both = site.situation({**bad, "link-leaf-2-spine-2.error_rate": 40.0}, alarm=alarm)
        assert kind.candidates(both) == []

    def test_it_gives_load_back_in_steps_when_all_is_calm(self, site: Site) -> None:
        kind = KINDS["restore_rack_load"]
        capped = {"rack-1-03.load_cap_pct": 60.0}
        [action] = kind.candidates(site.situation(capped))
        assert action.params == {"load_cap_pct": 80.0}
        assert kind.candidates(site.situation({**capped, **CRAC_2_DOWN})) == []
        warm = site.situation({**capped, "rack-1-03.inlet_c": 26.5})
        assert _failed(action, warm) == ["rack-1-03.inlet_c"]


def test_it_makes_the_same_action_of_whole_and_decimal_numbers(site: Site) -> None:
    situation = site.situation()
    schema = KINDS["set_fan_speed"].schema("crac-1", situation)
    one, other = (
        action_read("set_fan_speed", "crac-1", {"fan_speed_pct": value}, schema)
        for value in (85, 85.0)
    )
    assert canonical_json(dict(one.params)) == canonical_json(dict(other.params))


def test_it_refuses_a_point_that_nobody_may_write(site: Site) -> None:
    situation = site.situation()
    with pytest.raises(KeyError, match=r"gen-1\.run_cmd"):
        KINDS["stop_unit"].schema("gen-1", situation)
    with pytest.raises(InvalidActionError, match="no procedure in force"):
        KINDS["run_procedure"].schema("crac-1", situation)


def test_it_reads_a_situation_with_four_queries(
    demo_facility: None, django_assert_num_queries: Any
) -> None:
    from approvals.situations import hall_of, situation_read

    with django_assert_num_queries(4):
        situation = situation_read(hall="hall-1")
    assert len(situation.gpus) == 128
    assert len(situation.servers) == 16
    for tag, kind in (("chiller-1", "chiller"), ("ups-a", "ups"), ("job-3", "job"),
                      ("chwp-2", "pump"), ("utility-1", "utility")):  # fmt: skip
        found = hall_of(tag)
        assert found is not None
        assert (found.kind, found.hall) == (kind, "hall-1")
    assert hall_of("nowhere") is None


@pytest.mark.parametrize(
    "params",
    [
        {"title": "Look\nBcc: all@example.org"},
        {"title": "\x00\x00\x00"},
        {"title": "\ud800 alone"},
        {"text": "a\x00b"},
        {"text": "\udfff"},
        {"due": "2026-03-01\n"},
        {"due": "tomorrow"},
        {"priority": "urgent"},
        {"asset": "crac-2"},
    ],
    ids=str,
)
def test_it_refuses_a_work_order_that_cannot_be_kept(site: Site, params: dict[str, str]) -> None:
    schema = KINDS["open_work_order"].schema("crac-1", site.situation())
    plain = {"title": "Look at it", "text": "Line one\nline two", "priority": "low"}
    checks = Draft202012Validator(schema)
    assert checks.is_valid(plain)
    assert checks.is_valid({**plain, "due": "2026-03-01T14:00Z"})
    assert not checks.is_valid({**plain, **params})
