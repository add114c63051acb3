"""Every kind of rule: its signal, its parameters, and that a restart at any moment changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from facilities import partitions
from facilities.alarms import engine
from facilities.alarms.excursions import NORMAL_STATE, Known, follow
from facilities.alarms.kinds import KINDS
from facilities.alarms.kinds.rate import slope
from facilities.alarms.rules import Levels, Phase
from facilities.alarms.samples import Sample
from facilities.alarms.screen import EVERY_S, HOT_S, MAX_PER_POINT, Screen
from facilities.alarms.table import rule_table
from facilities.ingest import points
from facilities.models import (
    Alarm,
    AlarmRule,
    AnomalyScore,
    Asset,
    Envelope,
    LatestReading,
    Point,
    RuleState,
)
from facilities.models.alarm import RuleKind

T0 = datetime(2026, 3, 1, tzinfo=UTC)
TAG = "rack-a.inlet_c"


def sample(second: float, value: float, quality: int = 1) -> Sample:
    return Sample(T0 + timedelta(seconds=second), value, quality)


def test_it_has_a_kind_for_every_choice():
    assert set(KINDS) == set(RuleKind.values)


class TestSlope:
    def test_it_is_exact_on_a_ramp(self):
        ramp = [sample(t, 20 + t * 0.05) for t in range(0, 61, 2)]
        assert slope(ramp, 60) == pytest.approx(3.0)

    def test_it_is_silent_without_enough_of_the_window(self):
        assert slope([sample(0, 20)], 60) is None
        assert slope([sample(0, 20), sample(2, 30)], 60) is None
        assert slope([sample(0, 20), sample(0, 30)], 60) is None

    @given(st.lists(st.floats(-50, 50), min_size=31, max_size=31))
    def test_it_is_linear(self, values):
        once = slope([sample(2 * i, v) for i, v in enumerate(values)], 60)
        twice = slope([sample(2 * i, 2 * v + 5) for i, v in enumerate(values)], 60)
        assert once is not None
        assert twice == pytest.approx(2 * once, abs=1e-6)


values = st.floats(-50, 100, allow_nan=False)
series = st.lists(st.tuples(st.floats(0.1, 30), values), min_size=1, max_size=40)
levels = st.builds(
    lambda comparator, level, band, delay: Levels(
        comparator, level, level - band if comparator == "above" else level + band, delay
    ),
    st.sampled_from(["above", "below"]),
    values,
    st.floats(0, 20),
    st.sampled_from([0.0, 5.0, 60.0]),
)


@given(levels, series, st.lists(st.integers(0, 40), max_size=5))
def test_it_comes_to_the_same_alarms_wherever_it_is_interrupted(levels, steps, cuts):
    samples, at = [], 0.0
    for gap, value in steps:
        at += gap
        samples.append(sample(at, value))
    whole = alarms_of(levels, [samples])
    bounds = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    pieces = [samples[a:b] for a, b in pairwise(bounds)]
    assert alarms_of(levels, pieces) == whole
    # A task that runs twice sees old readings again: those before the state began change nothing.
    for raised, cleared, peak in whole:
        assert cleared is None or cleared >= raised
        assert levels.is_abnormal(peak)


def alarms_of(levels: Levels, pieces: list[list[Sample]]) -> list[Any]:
    """Alarms as rows: what a worker that knows only rows makes of the pieces."""
    rows: list[list[Any]] = []
    known = NORMAL_STATE
    for piece in pieces:
        found = follow(levels, known, piece)
        if found is None:
            continue
        if known.alarm_id is not None:
            rows[known.alarm_id][1:] = [found.cleared_at, found.peak]
        for new in found.raised:
            rows.append([new.sample.ts, new.cleared_at, new.peak])
        if found.after.phase is Phase.ACTIVE:
            raised, _, peak = rows[-1]
            known = Known(found.after._replace(since=raised), len(rows) - 1, peak)
        else:
            known = Known(found.after)
    return [tuple(row) for row in rows]


def rule(**values: Any) -> AlarmRule:
    base = {
        "name": "R",
        "asset_kind": "rack",
        "quantity": "inlet_c",
        "comparator": "above",
        "raise_level": 1.0,
        "clear_level": 1.0,
        "severity": "low",
        **values,
    }
    made = AlarmRule(**base)
    made.full_clean()
    made.save()
    return made


def read(tag: str, value: float, at: datetime, quality: int = 1) -> int:
    point = Point.objects.get(tag=tag)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": at, "value": value, "quality": quality, "received_at": at}
    )
    return point.pk


def store(tag: str, rows: list[tuple[datetime, float]]) -> None:
    partitions.ensure_partitions({at.date() for at, _ in rows})
    pk = Point.objects.get(tag=tag).pk
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, 1, %s) ON CONFLICT DO NOTHING",
            [(pk, at, value, at) for at, value in rows],
        )


@pytest.mark.django_db
class TestKinds:
    @pytest.fixture(autouse=True)
    def _only_mine(self, small_facility):
        AlarmRule.objects.all().delete()
        self.now = datetime.now(UTC)

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def open(self) -> list[str]:
        return sorted(Alarm.objects.filter(cleared_at=None).values_list("point__tag", flat=True))

    def test_it_raises_on_a_fast_change_and_clears_when_it_slows(self):
        rule(kind="rate", raise_level=2, clear_level=0.5)
        store(TAG, [(self.ago(60 - t), 20 + t * 0.05) for t in range(0, 61, 2)])
        pk = read(TAG, 23.0, self.now)
        assert engine.evaluate(point_ids=[pk], now=self.now).raised == 1
        assert Alarm.objects.get().value == pytest.approx(3.0, abs=0.01)
        later = self.now + timedelta(seconds=70)
        store(TAG, [(self.now + timedelta(seconds=t), 23.0) for t in range(2, 71, 2)])
        read(TAG, 23.0, later)
        assert engine.evaluate(point_ids=[pk], now=later).cleared == 1

    def test_it_takes_a_fall_for_a_change_if_told_so(self):
        rule(kind="rate", raise_level=2, parameters={"direction": "either"})
        store(TAG, [(self.ago(60 - t), 30 - t * 0.05) for t in range(0, 61, 2)])
        assert engine.evaluate(point_ids=[read(TAG, 27.0, self.now)], now=self.now).raised == 1

    def test_it_notices_silence_by_the_clock(self):
        rule(kind="staleness", raise_level=5, clear_level=2)
        read(TAG, 22, self.ago(9))  # sampled every 2 s
        assert engine.sweep(now=self.now).raised == 0
        assert engine.sweep(now=self.now + timedelta(seconds=2)).raised == 1
        assert Alarm.objects.get().value == pytest.approx(5.5)
        read(TAG, 22, self.now + timedelta(seconds=3))
        assert engine.sweep(now=self.now + timedelta(seconds=4)).cleared == 1

    def test_it_reports_bad_data_and_lets_it_drive_nothing_else(self):
        rule(kind="quality", raise_level=2.5, clear_level=2.5)
        rule(name="hot", raise_level=27, clear_level=26)
        pk = read(TAG, 50, self.ago(2), quality=4)
        engine.evaluate(point_ids=[pk], now=self.now)
        assert list(Alarm.objects.values_list("rule__name", "value", "quality")) == [("R", 4.0, 4)]
        read(TAG, 22, self.ago(1))
        assert engine.evaluate(point_ids=[pk], now=self.now).cleared == 1

    def test_it_follows_the_anomaly_score(self):
        rule(kind="anomaly", raise_level=0.9, clear_level=0.5)
        pk = read(TAG, 22, self.now)
        AnomalyScore.objects.create(point_id=pk, ts=self.now, score=0.95, expert="jump")
        assert engine.sweep(now=self.now).raised == 1
        AnomalyScore.objects.update(ts=self.now + timedelta(seconds=2), score=0.1)
        assert engine.sweep(now=self.now).cleared == 1

    def test_it_computes_over_several_points(self):
        rule(
            kind="expression",
            raise_level=8,
            clear_level=6,
            parameters={"expression": "{this} - {crac-a.supply_c}", "unit": "K"},
        )
        inlet = read(TAG, 25, self.ago(2))
        engine.evaluate(point_ids=[inlet], now=self.now)
        assert self.open() == []
        supply = read("crac-a.supply_c", 16, self.ago(1))
        assert engine.evaluate(point_ids=[supply], now=self.now).raised == 1
        assert (self.open(), Alarm.objects.get().value) == ([TAG], 9.0)
        read("crac-a.supply_c", 20, self.now)
        assert engine.evaluate(point_ids=[supply], now=self.now).cleared == 1

    def test_it_makes_no_value_of_inputs_that_are_bad_or_far_apart(self):
        rule(
            kind="expression", raise_level=8, parameters={"expression": "{this}-{crac-a.supply_c}"}
        )
        read(TAG, 40, self.now)
        read("crac-a.supply_c", 16, self.ago(120))
        assert engine.sweep(now=self.now).raised == 0
        read("crac-a.supply_c", 16, self.now, quality=3)
        assert engine.sweep(now=self.now).raised == 0

    def test_it_reads_other_quantities_of_the_same_asset(self):
        rule(
            kind="expression", raise_level=100, parameters={"expression": "{this.power_w} / {this}"}
        )
        for rack, power in (("rack-a", 5000), ("rack-b", 100)):
            read(f"{rack}.power_w", power, self.now)
            read(f"{rack}.inlet_c", 20, self.now)
        engine.sweep(now=self.now)
        assert self.open() == [TAG]

    def test_it_follows_the_envelope_of_the_racks_class(self):
        rule(raise_level=0, clear_level=0, parameters={"envelope": "recommended"})
        Envelope.objects.update_or_create(
            name="A1", range="recommended", defaults={"low_c": 18, "high_c": 27}
        )
        Envelope.objects.update_or_create(
            name="H1", range="recommended", defaults={"low_c": 18, "high_c": 22}
        )
        Asset.objects.filter(tag="rack-b").update(attributes={"ashrae_class": "H1"})
        for tag in (TAG, "rack-b.inlet_c"):
            read(tag, 24, self.ago(1))
        engine.sweep(now=self.now)
        assert self.open() == ["rack-b.inlet_c"]
        Envelope.objects.filter(name="A1").update(high_c=23)
        engine.sweep(now=self.now)
        assert self.open() == [TAG, "rack-b.inlet_c"]

    def test_it_names_a_rule_that_watches_nothing(self):
        rule(parameters={"envelope": "recommended"})
        Asset.objects.filter(tag="rack-b").update(attributes={"ashrae_class": "Z9"})
        assert "no recommended envelope for class Z9" in rule_table().broken["R"]

    @pytest.mark.parametrize(
        ("kind", "parameters"),
        [
            ("threshold", {"window_s": 3}),
            ("threshold", {"envelope": "wide"}),
            ("rate", {"window_s": "long"}),
            ("rate", {"direction": "up"}),
            ("staleness", {"default_interval_s": -1}),
            ("quality", {"flag": 3}),
            ("expression", {}),
            ("expression", {"expression": "__import__('os')"}),
            ("expression", {"expression": "{this} +"}),
            ("anomaly", []),
        ],
    )
    def test_it_refuses_parameters_that_make_no_sense(self, kind, parameters):
        with pytest.raises(ValidationError) as error:
            rule(kind=kind, parameters=parameters)
        assert "parameters" in error.value.message_dict


@pytest.mark.django_db
class TestPassedValues:
    def test_it_sees_an_excursion_that_the_latest_reading_has_left_behind(self, small_facility):
        now = datetime.now(UTC)
        pk = read("crac-a.fault", 0, now)
        at = round((now.timestamp() - 1) * 1e6)
        passed = [[pk, at, 1.0, 1]]
        assert engine.evaluate(values=passed, point_ids=[]) == (1, 1, 0)
        # The same task again, as after a crash: nothing happens twice.
        assert engine.evaluate(values=passed, point_ids=[]) == (0, 0, 0)
        assert Alarm.objects.count() == 1

    def test_it_uses_values_that_are_newer_than_the_stored_latest(self, small_facility):
        now = datetime.now(UTC)
        pk = read("crac-a.fault", 0, now - timedelta(seconds=5))
        engine.evaluate(values=[[pk, round(now.timestamp() * 1e6), 1.0, 1]], point_ids=[pk])
        assert Alarm.objects.filter(cleared_at=None).count() == 1

    def test_it_passes_over_bad_values(self, small_facility):
        pk = Point.objects.get(tag="crac-a.fault").pk
        now = round(datetime.now(UTC).timestamp() * 1e6)
        assert engine.evaluate(values=[[pk, now, 1.0, 4]], point_ids=[]) == (0, 0, 0)


@pytest.mark.django_db
class TestScreen:
    @pytest.fixture(autouse=True)
    def _columns(self, small_facility):
        self.columns = points.point_table(None)
        self.screen = Screen()

    def ask(self, *readings: tuple[str, float, int]) -> set[str]:
        row = np.array([self.columns.by_tag[tag] for tag, _, _ in readings], np.int32)
        value = np.array([value for _, value, _ in readings], np.float64)
        flags = np.array([flag for _, _, flag in readings], np.uint8)
        rows = self.screen.candidates(self.columns, row, value, flags)
        return {self.columns.tags[at] for at in rows}

    def test_it_lets_only_crossings_through(self):
        assert self.ask((TAG, 26.9, 1), ("rack-b.inlet_c", 27.1, 1), ("crac-a.running", 9, 1)) == {
            "rack-b.inlet_c"
        }
        assert self.ask((TAG, 40, 3)) == set()

    def test_it_watches_a_point_for_a_while_after_a_crossing(self):
        assert self.ask((TAG, 28, 1)) == {TAG}
        assert self.ask((TAG, 20, 1)) == {TAG}
        limits = self.screen._limits
        assert limits is not None
        limits.hot_until -= HOT_S
        assert self.ask((TAG, 20, 1)) == set()

    def test_it_watches_what_is_open_or_pending(self):
        pk = self.columns.id[self.columns.by_tag[TAG]]
        RuleState.objects.create(
            point_id=pk,
            rule=AlarmRule.objects.get(name="Rack inlet high"),
            condition_since=datetime.now(UTC),
        )
        assert self.ask((TAG, 20, 1)) == {TAG}
        RuleState.objects.all().delete()
        assert self.ask((TAG, 20, 1)) == {TAG}  # asked within half a second: not known yet
        self.screen._asked_at -= EVERY_S
        assert self.ask((TAG, 20, 1)) == set()

    def test_it_looks_at_rules_without_a_level_twice_a_second(self):
        rule(kind="expression", parameters={"expression": "{this} - {crac-a.supply_c}"})
        rule(name="Q", kind="quality", raise_level=2.5, clear_level=2.5)
        self.columns = points.point_table(None)
        assert self.ask(("crac-a.supply_c", 16, 1)) == {"crac-a.supply_c"}
        assert self.ask(("crac-a.supply_c", 16, 1)) == set()
        assert self.ask((TAG, 20, 1)) == {TAG}
        assert self.ask((TAG, 20, 1)) == set()
        assert self.ask((TAG, 20, 4)) == {TAG}

    def test_it_hands_over_the_newest_readings_in_time_order(self):
        at = self.columns.by_tag[TAG]
        other = self.columns.by_tag["rack-b.inlet_c"]
        row = np.array([at] * 30 + [other, at], np.int32)
        ts_us = np.array([*range(30, 0, -1), 7, 99], np.int64)
        value = ts_us.astype(np.float64)
        flags = np.ones(32, np.uint8)
        rows = np.array([at], np.int32)
        picked = self.screen.pick(self.columns, row, ts_us, value, flags, rows)
        assert len(picked) == MAX_PER_POINT
        assert [item[1] for item in picked] == [*range(12, 31), 99]
        assert {item[0] for item in picked} == {int(self.columns.id[at])}
