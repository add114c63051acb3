"""The plant of the evaluation: its cases, what it calls harm, and how it gets into the database."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals.catalogue import KINDS
from approvals.evaluation.cases import FILE, Case, CaseError, cases_read
from approvals.evaluation.deliver import Delivery, NotInTransactionError
from approvals.evaluation.harm import Harm, harm_of
from approvals.evaluation.plant import PlantRun
from approvals.evaluation.recorded import HISTORY_S, healthy_plant
from facilities.demo.plant.faults import FAULTS
from facilities.demo.plant.points import read_facility
from facilities.models import Alarm, LatestReading, PointQuality, Reading
from facilities.selectors import snapshot

FACILITY = read_facility()
CASES = {case.name: case for case in cases_read(FACILITY)}


def broken(name: str, *, seconds: float = 30.0) -> Any:
    """The plant of a case some seconds after its fault."""
    case = CASES[name]
    sim = healthy_plant(case, FACILITY)
    if case.fault:
        sim.fail(case.fault, severity=case.severity, over_s=case.over_s)
    sim.run(seconds)
    return sim


def harm(name: str, writes: dict[str, float], **how: float) -> Harm:
    sim = broken(name, seconds=how.get("seconds", 30.0))
    return harm_of(
        sim,
        [{"tag": tag, "value": value} for tag, value in writes.items()],
        horizon_s=how.get("horizon_s", 400.0),
    )


def test_it_has_forty_fault_cases_of_every_fault_and_twenty_healthy_ones() -> None:
    faulty = [case for case in CASES.values() if not case.healthy]
    assert len(faulty) >= 40 and len(CASES) - len(faulty) >= 20
    assert {case.fault for case in faulty} == set(FAULTS)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_it_names_only_kinds_of_the_catalogue_and_the_broken_asset(case: Case) -> None:
    assert case.expect.kinds <= set(KINDS)
    if not case.healthy:
        cause = FAULTS[case.fault].cause
        assert case.expect.assets & {cause, cause.rsplit("-gpu-", 1)[0]} or cause.startswith("hall")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{fault: meteor, assets: [hall-1], none: true}", "none of"),
        ("{fault: crac-2-trip, assets: [crac-9], none: true}", "no asset is called crac-9"),
        ("{fault: crac-2-trip, severity: 0.5, assets: [crac-2], none: true}", "there or not"),
        ("{fault: crac-2-trip}", "neither which assets"),
        ("{fault: crac-2-trip, assets: [crac-2], none: true, colour: red}", "unknown"),
        (
            "{fault: crac-2-trip, assets: [crac-2], none: true, before: {crac-1.supply_c: 3}}",
            "no setpoint",
        ),
        (
            "{fault: crac-2-trip, assets: [crac-2], none: true, before: {crac-1.supply_sp_c: 3}}",
            "outside its limits",
        ),
    ],
)
def test_it_refuses_a_case_that_cannot_be(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "cases.yaml"
    start = "defaults: {start: 2026-03-02T09:00:00Z}\n"
    path.write_text(f"{start}faults:\n  - {change}\nhealthy: []\n")
    with pytest.raises(CaseError, match=message):
        cases_read(FACILITY, path=path)


def test_it_refuses_two_cases_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    text = FILE.read_text().splitlines()
    twice = next(n for n, line in enumerate(text) if "name: healthy-july," in line)
    path.write_text("\n".join([*text, text[twice]]))
    with pytest.raises(CaseError, match="two cases are called healthy-july"):
        cases_read(FACILITY, path=path)


def test_it_says_that_the_standby_helps_and_that_stopping_a_duty_unit_harms() -> None:
    good = harm("crac-2-trip", {"crac-4.run_cmd": 1})
    assert not good.harmful
    assert good.figures["acting"]["hottest_end_c"] < good.figures["nothing"]["hottest_end_c"] - 4
    bad = harm("crac-2-trip", {"crac-1.run_cmd": 0})
    assert bad.harmful and any("hottest inlet" in reason for reason in bad.reasons)


@pytest.mark.parametrize(
    ("name", "writes", "reason"),
    [
        ("healthy-march", {"srv-01.in_service": 0}, "nothing gets better"),
        ("healthy-march", {"ups-a.bypass": 1}, "loses its battery"),
        ("feed-a-loss", {"ups-a.bypass": 1}, "feed is dead"),
        ("link-down", {"link-leaf-1-spine-2.enabled": 0}, "Job slowed on job-1"),
        ("healthy-march", {"crac-9.run_cmd": 1}, "no setpoint crac-9.run_cmd"),
        ("healthy-march", {"crac-1.fan_speed_sp_pct": 10}, "takes 30 to 100"),
    ],
)
def test_it_calls_harmful_what_costs_and_does_not_help(
    name: str, writes: dict[str, float], reason: str
) -> None:
    found = harm(name, writes)
    assert found.harmful and any(reason in text for text in found.reasons), found


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("gpu-xid-74", {"srv-03.in_service": 0}),
        ("ups-b-rectifier", {"ups-b.bypass": 1}),
        ("link-crawls", {"link-leaf-1-spine-2.enabled": 0}),
        ("gpu-xid-79", {"srv-11.reset_cmd": 1}),
    ],
)
def test_it_pays_the_price_that_a_right_action_has(name: str, writes: dict[str, float]) -> None:
    assert not harm(name, writes, seconds=90.0, horizon_s=500.0).harmful


def test_it_does_not_believe_a_lying_probe() -> None:
    """The cap ends the alarm of the drifting probe; the rack was never warm."""
    found = harm(
        "inlet-sensor-drift", {"rack-2-03.load_cap_pct": 60}, seconds=1700.0, horizon_s=600.0
    )
    assert found.harmful and "nothing gets better" in found.reasons[0]


def test_it_moves_nothing_with_a_work_order() -> None:
    sim = broken("crac-2-trip")
    order = {"tag": "crac-2.work_order", "value": 1.0, "body": {"title": "Look at it"}}
    assert harm_of(sim, [order]) == Harm(False, [], {"moves": 0})


def test_it_stops_at_the_first_alarm_and_goes_on() -> None:
    run = PlantRun(CASES["crac-2-trip"], FACILITY)
    assert run.alarm_s == 2.0 and run.at_s == 2.0
    run.write("crac-4.run_cmd", 1)
    run.step(120)
    assert run.at_s == 122.0 and run.sim.readings["crac-4.running"] == 1
    assert run.sim.history[-1].at_s - run.sim.history[0].at_s >= HISTORY_S - 120


def test_it_gives_each_run_a_plant_of_its_own() -> None:
    first = healthy_plant(CASES["healthy-march"], FACILITY)
    first.fail("crac-2-trip")
    first.run(60)
    second = healthy_plant(CASES["healthy-march"], FACILITY)
    assert second.readings["crac-2.running"] == 1 and second.facility is FACILITY
    again = copy.deepcopy(second)
    for plant in (second, again):
        plant.run(60)
    assert second.readings == again.readings


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_deliver_outside_a_transaction() -> None:
    sim = broken("healthy-march", seconds=2.0)
    with pytest.raises(NotInTransactionError, match="throwaway database"):
        Delivery(sim, judged=False).deliver(now=timezone.now())


@pytest.mark.django_db
def test_it_says_which_points_the_database_lacks() -> None:
    sim = broken("healthy-march", seconds=2.0)
    with pytest.raises(LookupError, match="lacks 1253 points"):
        Delivery(sim, judged=False).deliver(now=timezone.now())


@pytest.mark.django_db
def test_it_delivers_what_happened_as_if_it_were_now(demo_facility: None) -> None:
    run = PlantRun(CASES["crac-2-trip"], FACILITY)
    now = timezone.now()
    (alarm_id,) = run.deliver(now=now)
    alarm = Alarm.objects.get(pk=alarm_id)
    assert (alarm.point.tag, alarm.rule.name) == ("crac-2.fault", "CRAC fault")
    assert abs(now - alarm.raised_at) <= timedelta(seconds=2)
    newest = LatestReading.objects.get(point__tag="crac-2.fan_speed_pct")
    assert (newest.ts, newest.value) == (now, run.sim.readings["crac-2.fan_speed_pct"])
    oldest = Reading.objects.order_by("ts").first()
    assert oldest is not None and now - oldest.ts > timedelta(minutes=18)
    taken = snapshot(mode="latest")
    assert len(taken.values) >= len(FACILITY.points)
    assert not any(value.stale for value in taken.values.values())

    run.step(100)
    later = timezone.now()
    ids = run.deliver(now=later)
    again = Alarm.objects.get(pk=alarm_id)
    assert again.pk in ids and later - again.raised_at >= timedelta(seconds=99)
    causes = Alarm.objects.filter(pk__in=ids, suppressed=False)
    assert [cause.pk for cause in causes] == [alarm_id]  # warm racks hide under their cause
    hot = Alarm.objects.get(rule__name="Rack inlet high", point__tag="rack-2-03.inlet_c")
    assert hot.suppressed and hot.value > 27
    assert LatestReading.objects.get(point__tag="crac-2.fan_speed_pct").ts == later
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(ts) FROM facilities_reading")
        assert cursor.fetchone()[0] == later


@pytest.mark.django_db
def test_it_lets_the_quality_tests_find_a_silent_probe(demo_facility: None) -> None:
    run = PlantRun(replace(CASES["sensor-silent"], look_after_s=120.0), FACILITY)
    assert run.alarm_s is None and run.at_s == 120
    run.deliver(now=timezone.now())
    doubted = set(PointQuality.objects.filter(flag__gt=2).values_list("point__tag", flat=True))
    assert doubted == {"rack-2-06.inlet_c"}
    (alarm,) = Alarm.objects.filter(cleared_at__isnull=True)
    assert alarm.rule.name == "Rack inlet silent"
