"""Ratios of ISO/IEC 30134 against hand-made readings: gaps, resets, categories, steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from django.db import connection, transaction
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from facilities import partitions
from facilities.energy import integrate
from facilities.energy.now import energy_now
from facilities.energy.prices import Tariff, carbon_kg, energy_cost, tariff_from, tariff_of
from facilities.energy.report import PeriodError, Report, energy_report
from facilities.loader import load_facility
from facilities.models import Asset, LatestReading, Point
from facilities.rollups import job, mark_readings
from facilities.twin.read import read_site

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
MINUTE = timedelta(minutes=1)

YAML = """
site: {slug: lab-1, name: Lab 1, timezone: Europe/Berlin}
halls:
  - {slug: room-1, name: Room 1, width_m: 6, depth_m: 4}
racks:
  - {tag: rack-a, hall: room-1, row: 1, position: 1, x_m: 2, y_m: 2, rated_w: 1500}
  - {tag: rack-b, hall: room-1, row: 1, position: 2, x_m: 3, y_m: 2, rated_w: 1500}
point_templates:
  rack: [{quantity: power_w, name: Power, unit: W, range: [-9000, 10000], sampling_s: 60}]
  utility: [{quantity: power_w, name: Power, unit: W, range: [-9000, 100000], sampling_s: 60}]
  ups: [{quantity: load_w, name: Load, unit: W, range: [0, 10000], sampling_s: 60}]
  pdu: [{quantity: power_w, name: Power, unit: W, range: [0, 10000], sampling_s: 60}]
  crac: [{quantity: power_w, name: Power, unit: W, range: [0, 10000], sampling_s: 60}]
  pump: [{quantity: flow_lps, name: Flow, unit: L/s, range: [0, 30], sampling_s: 60}]
  tower: [{quantity: makeup_lps, name: Make-up, unit: L/s, range: [0, 30], sampling_s: 60}]
assets:
  - tag: u-1
    kind: utility
    name: Utility
    attributes: {price_per_kwh: 0.25, currency: CHF, carbon_g_kwh: 400, renewable_share: 0.4}
  - {tag: ups-a, kind: ups, name: UPS, attributes: {rated_w: 4000}}
  - {tag: pdu-a, kind: pdu, hall: room-1, name: PDU, attributes: {rated_w: 4000, meter: output}}
  - {tag: crac-a, kind: crac, hall: room-1, name: CRAC}
  - {tag: pump-a, kind: pump, name: Pump, attributes: {flow_lps: 2, power_w: 80}}
  - {tag: tower-a, kind: tower, name: Tower}
links:
  - {kind: power, source: u-1, target: ups-a}
  - {kind: power, source: ups-a, target: pdu-a}
  - {kind: power, source: pdu-a, target: rack-a}
  - {kind: power, source: pdu-a, target: rack-b}
"""

STEADY = {
    "u-1.power_w": 1_500.0,
    "rack-a.power_w": 600.0,
    "rack-b.power_w": 400.0,
    "pdu-a.power_w": 1_010.0,
    "ups-a.load_w": 1_050.0,
    "crac-a.power_w": 200.0,
    "pump-a.flow_lps": 1.0,
    "tower-a.makeup_lps": 0.001,
}

Feed = Callable[..., None]


@pytest.fixture
def lab(db: None, tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(YAML)
    load_facility(path=path)


def store(
    values: dict[str, float], start: datetime, minutes: int, *, quality: int = 1, step: int = 1
) -> None:
    """A reading a minute of every point, in the middle of the minute."""
    ids = dict(Point.objects.filter(tag__in=values).values_list("tag", "pk"))
    rows = [
        (ids[tag], start + n * MINUTE + timedelta(seconds=30), value, quality)
        for tag, value in values.items()
        for n in range(0, minutes, step)
    ]
    partitions.ensure_partitions({row[1].date() for row in rows})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, %s, now())",
            rows,
        )
        mark_readings(
            cursor,
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([int(row[1].timestamp() * 1e6) for row in rows], dtype=np.int64),
            int(datetime.now(UTC).timestamp() * 1e6),
        )


def without(*tags: str) -> dict[str, float]:
    return {tag: value for tag, value in STEADY.items() if tag not in tags}


def report(minutes: int = 60, **more: float) -> Report:
    return energy_report(start=HOUR, end=HOUR + minutes * MINUTE, **more)  # type: ignore[arg-type]


def test_it_makes_the_ratios_of_one_steady_hour(lab: None) -> None:
    store(STEADY, HOUR, 60)
    whole = report().whole
    assert whole.category == 3
    assert whole.pue.value == pytest.approx(1.5)
    assert whole.pue.coverage == pytest.approx(1.0)
    assert whole.categories[1].value == pytest.approx(1_500 / 1_050)
    assert whole.categories[2].value == pytest.approx(1_500 / 1_010)
    assert whole.wue_l_kwh.value == pytest.approx(3.6)  # 0.001 L/s for 1 kW
    assert whole.cue_kg_kwh.value == pytest.approx(1.5 * 0.4)
    assert whole.ref.value == pytest.approx(0.4)
    assert whole.total_wh == pytest.approx(1_500)
    assert whole.it_wh == pytest.approx(1_000)
    assert whole.cost == pytest.approx(1.5 * 0.25)
    assert whole.currency == "CHF"
    assert whole.carbon_kg == pytest.approx(0.6)
    assert whole.water_l == pytest.approx(3.6)


def test_it_splits_the_total_into_end_uses(lab: None) -> None:
    store(STEADY, HOUR, 60)
    uses = {use.key: use for use in report().whole.uses}
    assert uses["it"].energy_wh == pytest.approx(1_000)
    assert uses["crac"].energy_wh == pytest.approx(200)
    assert (uses["crac"].basis, uses["ups_loss"].basis, uses["other"].basis) == (
        "measured", "computed", "remainder",
    )  # fmt: skip
    # 4 kW UPS: 40 W + 1,050 · 2.6 % + 4,000 · (1,050 / 4,000)² · 1.2 % = 70.6 W.
    share = 1_050 / 4_000
    assert uses["ups_loss"].energy_wh == pytest.approx(40 + 1_050 * 0.026 + 48 * share**2)
    assert uses["pump"].energy_wh == pytest.approx(80 / 8)  # half the flow, an eighth of the power
    assert sum(use.energy_wh for use in uses.values()) == pytest.approx(1_500)


def test_it_takes_the_transformer_off_a_meter_at_the_input(lab: None) -> None:
    Asset.objects.filter(tag="pdu-a").update(attributes={"rated_w": 4000})
    store(STEADY, HOUR, 60)
    found = report()
    loss = 4_000 * (0.0026 + 0.0125 * (1_010 / 4_000) ** 2)
    assert found.whole.categories[2].value == pytest.approx(1_500 / (1_010 - loss))
    assert any("stand at the input" in said for said in found.issues)


def test_it_counts_only_the_time_in_which_both_parts_were_measured(lab: None) -> None:
    """Racks are silent for 20 minutes in which the site draws twice as much: no word about PUE."""
    store(STEADY, HOUR, 20)
    store({**without("rack-a.power_w"), "u-1.power_w": 3_000.0}, HOUR + 20 * MINUTE, 20)
    store(STEADY, HOUR + 40 * MINUTE, 20)
    found = report()
    third = found.whole.categories[3]
    assert third.value == pytest.approx(1.5)
    assert third.coverage == pytest.approx(40 / 60)
    assert found.whole.category == 2  # the finest that covers the whole hour
    assert found.whole.pue.value == pytest.approx((1_500 * 40 + 3_000 * 20) / (1_010 * 60))
    assert found.whole.total_wh == pytest.approx(2_000)


def test_it_bridges_a_short_gap_with_a_line(lab: None) -> None:
    store(STEADY, HOUR, 20)
    store(without("rack-a.power_w"), HOUR + 20 * MINUTE, 2)
    store({**STEADY, "rack-a.power_w": 900.0}, HOUR + 22 * MINUTE, 38)
    found = report()
    assert found.whole.categories[3].coverage == pytest.approx(1.0)
    # 600 until minute 20, then 700 and 800 on the line, then 900.
    expected = (600 * 20 + 700 + 800 + 900 * 38) / 60 + 400
    assert found.whole.it_wh == pytest.approx(expected)
    assert next(item for item in found.inputs if item.role == "rack").bridged == 2


def test_it_does_not_use_readings_that_failed_and_names_what_is_negative(lab: None) -> None:
    store(without("rack-b.power_w"), HOUR, 60)
    store({"rack-b.power_w": 5_000.0}, HOUR, 60, quality=4)
    found = report()
    assert found.whole.categories[3].value is None
    rack = next(item for item in found.inputs if item.role == "rack")
    assert rack.silent == ("rack-b.power_w",)
    assert any("rack-b.power_w" in said for said in found.issues)
    store(without("crac-a.power_w"), HOUR + 60 * MINUTE, 60)
    store({"crac-a.power_w": -200.0}, HOUR + 60 * MINUTE, 60)
    later = energy_report(start=HOUR + 60 * MINUTE, end=HOUR + 120 * MINUTE)
    assert next(use for use in later.whole.uses if use.key == "crac").energy_wh == 0
    assert any("below zero" in said for said in later.issues)


def test_it_reads_counters_across_a_reset(lab: None) -> None:
    asset = Asset.objects.get(tag="u-1")
    Point.objects.create(
        tag="u-1.energy_kwh", asset=asset, name="Energy", quantity="energy_kwh", unit="kW.h",
        sampling_interval_s=60,
    )  # fmt: skip
    store(without("u-1.power_w"), HOUR, 60)
    store({"u-1.power_w": 99_000.0}, HOUR, 60)  # the counter is believed, not this
    for minute in range(60):
        counted = 500.0 + 0.025 * minute if minute < 30 else 0.025 * (minute - 30)
        store({"u-1.energy_kwh": counted}, HOUR + minute * MINUTE, 1)
    found = report()
    utility = next(item for item in found.inputs if item.role == "utility")
    assert utility.meters == ("u-1.energy_kwh",)
    assert utility.resets == 1
    # 25 Wh a minute; the first minute has no value before it, the reset one counts from nought.
    assert found.whole.total_wh == pytest.approx(25 * 58)
    assert any("reset" in said for said in found.issues)


def test_it_says_the_same_from_hours_as_from_minutes(lab: None) -> None:
    for hour in range(3):
        store({**STEADY, "u-1.power_w": 1_400.0 + 100 * hour}, HOUR + hour * 60 * MINUTE, 60)
    fine = energy_report(start=HOUR, end=HOUR + timedelta(hours=3))
    before = energy_report(start=HOUR - timedelta(days=4), end=HOUR + timedelta(hours=3))
    job.run(budget_s=60)
    after = energy_report(start=HOUR - timedelta(days=4), end=HOUR + timedelta(hours=3))
    assert (fine.level, before.level, after.level) == ("1m", "1h", "1h")
    for coarse in (before, after):
        assert coarse.whole.total_wh == pytest.approx(fine.whole.total_wh)
        assert coarse.whole.pue.value == pytest.approx(fine.whole.pue.value)
        assert coarse.whole.pue.coverage == pytest.approx(3 / 99)


def test_it_cuts_a_period_into_steps(lab: None) -> None:
    store(STEADY, HOUR, 30)
    store({**STEADY, "u-1.power_w": 2_000.0}, HOUR + 30 * MINUTE, 30)
    found = energy_report(start=HOUR + timedelta(seconds=30), end=HOUR + 60 * MINUTE, step_s=1_800)
    assert [round(step.ratios.pue.value or 0, 6) for step in found.steps] == [1.5, 2.0]
    assert found.steps[0].start == HOUR + timedelta(seconds=30)
    assert found.steps[0].ratios.total_wh == pytest.approx(1_500 * 29.5 / 60)
    assert sum(step.ratios.total_wh for step in found.steps) == pytest.approx(found.whole.total_wh)


def test_it_refuses_periods_that_it_cannot_answer(lab: None) -> None:
    for start, end, step, said in (
        (HOUR, HOUR, 0.0, "not before"),
        (HOUR + timedelta(days=9), HOUR + timedelta(days=10), 0.0, "future"),
        (HOUR - timedelta(days=500), HOUR, 0.0, "400"),
        (HOUR, HOUR + MINUTE, 90.0, "whole number of minutes"),
        (HOUR - timedelta(days=30), HOUR, 60.0, "2000 steps"),
    ):
        with pytest.raises(PeriodError, match=said):
            energy_report(start=start, end=end, step_s=step)


def test_it_says_what_is_missing(lab: None) -> None:
    Point.objects.exclude(tag="rack-a.power_w").exclude(tag="rack-b.power_w").delete()
    Asset.objects.filter(tag="u-1").update(attributes={})
    store({"rack-a.power_w": 1.0, "rack-b.power_w": 1.0}, HOUR, 60)
    found = report()
    assert found.whole.pue.value is None
    for word in ("utility.power_w", "WUE", "REF", "price_per_kwh", "category 1"):
        assert any(word in said for said in found.issues), word


def test_it_answers_a_site_without_meters(db: None) -> None:
    found = report()
    assert found.whole.pue.value is None
    assert found.inputs == []
    assert energy_now().at is None


def test_it_knows_this_moment_and_what_is_stale(lab: None) -> None:
    now = datetime.now(UTC)
    for point in Point.objects.filter(tag__in=STEADY):
        late = point.tag == "ups-a.load_w"
        LatestReading.objects.create(
            point=point,
            ts=now - timedelta(minutes=10 if late else 0),
            received_at=now,
            value=STEADY[point.tag],
            quality=1,
        )
    found = energy_now(now=now)
    assert found.ratios.pue.value == pytest.approx(1.5)
    assert found.ratios.category == 3
    assert found.stale == ["ups-a.load_w"]
    assert found.ratios.categories[1].value is None
    assert found.ratios.cost == pytest.approx(1.5 * 0.25)


def test_it_knows_what_a_kilowatt_hour_costs() -> None:
    assert energy_cost(2_000, Tariff(price_per_kwh=0.3)) == pytest.approx(0.6)
    assert energy_cost(-2_000, Tariff(price_per_kwh=0.3)) == pytest.approx(-0.6)
    assert carbon_kg(1_000, Tariff(carbon_g_kwh=380)) == pytest.approx(0.38)
    tariff = tariff_of(site := read_site())
    assert tariff.assumed == ()
    assert energy_cost(1_000, site) == pytest.approx(tariff.price_per_kwh)
    assert tariff_from([{"price_per_kwh": "dear"}]).assumed == ("price_per_kwh", "carbon_g_kwh")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=40),
    st.floats(0, 3_000),
)
def test_it_never_invents_energy(values: list[float | None], offset: float) -> None:
    """Integrated energy lies between that of the lowest and highest mean over the known time."""
    mean = np.array([[np.nan if value is None else value for value in values]])
    usable = (~np.isnan(mean)).astype(float)
    measured = integrate.powers(mean, usable, np.full_like(mean, np.nan))
    cells = integrate.grid(offset, offset + 60.0 * len(values), 60.0)
    weight = cells.weight_s[: len(values)]
    assert cells.seconds == pytest.approx(60.0 * len(values))
    seconds = float((weight * measured.known[0]).sum())
    wh = integrate.energy_wh(measured.rate[0], weight)
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    assert low * seconds / 3600 - 1e-6 <= wh <= high * seconds / 3600 + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=30), st.integers(1, 28))
def test_it_counts_every_rise_of_a_counter_once(rises: list[float], reset: int) -> None:
    counter = np.cumsum([0.0, *rises])
    if reset < len(counter):
        before = counter[reset - 1]
        counter[reset:] -= before
        assume(counter[reset] < before)  # one that shows more than before cannot be seen
    measured = integrate.counters(counter[None, :], 60.0)
    total = integrate.energy_wh(measured.rate[0], np.full(len(counter), 60.0))
    assert total == pytest.approx(sum(rises), rel=1e-9, abs=1e-6)
