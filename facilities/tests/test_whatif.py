"""What if: the twin with changes beside doing nothing, alarms that would fire, figures."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from facilities.demo.file import DEMO_FILE
from facilities.loader import load_facility
from facilities.models import Alarm, AlarmRule, Point
from facilities.tracking.live import Live, current
from facilities.twin.drive import DRIVES
from facilities.twin.read import read_site
from facilities.twin.schedule import Schedule
from facilities.whatif import limits
from facilities.whatif.alarms import excursions
from facilities.whatif.answer import band
from facilities.whatif.ask import question_for, whatif_ask
from facilities.whatif.catalogue import ENTRIES, changes_of
from facilities.whatif.ensemble import steps_for
from facilities.whatif.limits import DRIVE_LIMITS, data_list
from facilities.whatif.question import Question, QuestionError, spoken
from facilities.whatif.signals import lagged, rate_signal

HALL: list[Live] = []
TRIP = {"asset": "crac-2", "what": "crac_trip"}
START = {"asset": "crac-4", "what": "crac_start", "at_s": 120}


def ask(*changes: dict[str, Any], live: Live | None = None, **more: Any) -> dict[str, Any]:
    live = live or HALL[0]
    data = {"changes": list(changes), "duration_s": 900, "draws": 6, **more}
    return whatif_ask(question_for(data, live, data_list()), live=live)


def series(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(s for s in answer["series"] if s["name"] == name)


class InDemoHall(TestCase):
    """The demo hall, healthy and settled, loaded once for all tests of a class."""

    @classmethod
    def setUpTestData(cls) -> None:
        """Load the data list; no reading has arrived yet."""
        load_facility(path=DEMO_FILE)
        limits.forget()
        HALL[:] = [current()]

    @property
    def live(self) -> Live:
        """The live twin."""
        return HALL[0]


class TestAnswer(InDemoHall):
    def test_it_shows_a_lost_unit_beside_doing_nothing(self) -> None:
        answer = ask(TRIP)
        hottest = series(answer, "max(rack.inlet_c)")
        nothing, tripped = hottest["options"]
        assert tripped["end"] > nothing["end"] + 2
        assert abs(nothing["p50"][-1] - nothing["p50"][0]) < 0.5
        assert answer["options"][0]["title"] == "Do nothing"
        assert answer["options"][1]["title"] == "CRAC 2 trips"
        fault = next(a for a in answer["alarms"] if a["point"] == "crac-2.fault")
        assert fault["options"][0]["probability"] == 0
        assert fault["options"][1]["probability"] == 1
        assert fault["options"][1]["first_s"] <= 10
        assert answer["first"][0] is None
        assert answer["first"][1]["rule"] == "CRAC fault"
        assert "If CRAC 2 trips, the hottest rack inlet" in answer["summary"][0]
        assert answer["closure"] < 1e-3

    def test_it_finds_no_difference_where_nothing_changes(self) -> None:
        answer = ask()
        for one in answer["series"]:
            assert one["options"][0] == one["options"][1]
        row = answer["energy"]["options"][1]
        assert row["facility_more_kwh"] == {"p10": 0.0, "p50": 0.0, "p90": 0.0}
        for job in answer["jobs"]:
            assert job["options"][1]["more_lost_gpu_h"]["p50"] == 0
        for alarm in answer["alarms"]:
            assert alarm["options"][0] == alarm["options"][1]
        assert answer["summary"][0].startswith("If nothing changes")

    def test_it_answers_the_same_for_the_same_seed(self) -> None:
        first, again = ask(TRIP, seed=4), ask(TRIP, seed=4)
        for each in (first, again):
            each.pop("ms")
        assert first == again
        other = ask(TRIP, seed=5)
        assert other["series"][0]["options"] != first["series"][0]["options"]

    def test_it_leaves_the_live_state_alone(self) -> None:
        before = {key: value.copy() for key, value in self.live.state.to_arrays().items()}
        ask(TRIP)
        for key, value in self.live.state.to_arrays().items():
            np.testing.assert_array_equal(value, before[key])

    def test_its_bands_hold_the_run_with_constants_as_they_are(self) -> None:
        banded = ask(TRIP, draws=8)
        nominal = ask(TRIP, draws=1)
        for one in nominal["series"]:
            other = series(banded, one["name"])
            for line, wide in zip(one["options"], other["options"], strict=True):
                for value, low, high in zip(line["p50"], wide["p10"], wide["p90"], strict=True):
                    if value is not None:
                        assert low - 0.01 <= value <= high + 0.01

    def test_it_applies_a_sequence_at_its_times(self) -> None:
        answer = ask(TRIP, START)
        hottest = series(answer, "max(rack.inlet_c)")["options"][1]
        alone = series(ask(TRIP), "max(rack.inlet_c)")["options"][1]
        second = answer["times_s"].index(120.0)
        assert hottest["p50"][:second] == alone["p50"][:second]
        assert hottest["end"] < alone["end"] - 1
        assert answer["options"][1]["title"] == "CRAC 2 trips and CRAC 4 is started after 2 min"

    def test_it_counts_energy_and_cost(self) -> None:
        with override_settings(ENERGY_PRICE=SimpleNamespace(per_kwh=0.25, currency="EUR")):
            answer = ask({"asset": "site", "what": "gpu_cap", "value": 350})
        row = answer["energy"]["options"][1]
        assert row["facility_more_kwh"]["p50"] < -1
        assert row["more_cost"]["p50"] == pytest.approx(
            row["facility_more_kwh"]["p50"] / 4, rel=0.02
        )
        hours = answer["duration_s"] / 3600
        power = series(answer, "sum(hall.facility_power_w)")["options"][0]["end"]
        assert row["facility_kwh"]["p50"] < power * hours / 1000
        assert any("kWh less" in text and "EUR" in text for text in answer["summary"])

    def test_it_tells_what_a_slow_link_does_to_a_job(self) -> None:
        links = [
            {"asset": f"link-leaf-1-spine-{n}", "what": "link_degraded", "value": 10}
            for n in (1, 2)
        ]
        answer = ask(*links)
        job = next(job for job in answer["jobs"] if job["job"] == "job-1")
        assert job["options"][1]["slower_pct"]["p50"] > 3
        assert job["options"][1]["more_lost_gpu_h"]["p50"] > 0

    def test_it_follows_only_what_was_asked_for(self) -> None:
        answer = ask(TRIP, record=["rack-1-03.inlet_c", "mean(gpu.power_w)", "leaf-1.nope"])
        assert [s["name"] for s in answer["series"]] == ["rack-1-03.inlet_c", "mean(gpu.power_w)"]
        assert any("leaf-1.nope" in note for note in answer["notes"])

    def test_it_says_that_a_snapshot_is_no_followed_state(self) -> None:
        assert ask()["fit"]["verdict"] == "unknown"

    def test_it_says_when_the_twin_is_not_to_be_trusted(self) -> None:
        bad = {
            "rack.inlet_c": {"rmse": 3.0, "cv_rmse_pct": 40.0, "nmbe_pct": 12.0, "passed": False}
        }
        followed = dataclasses.replace(self.live, fitness=bad, followed=True)
        answer = ask(TRIP, live=followed)
        assert answer["fit"]["verdict"] == "unfit"
        assert "rack.inlet_c" in answer["fit"]["text"]
        wide = series(answer, "max(rack.inlet_c)")["options"][0]
        assert wide["p90"][0] - wide["p10"][0] == pytest.approx(2 * 1.2816 * 3.0, rel=0.01)

    def test_it_counts_an_alarm_that_is_on_as_on(self) -> None:
        rule = AlarmRule.objects.get(name="Rack inlet high")
        point = Point.objects.get(tag="rack-1-03.inlet_c")
        Alarm.objects.create(
            point=point, rule=rule, severity="high", message="", value=28, peak_value=28,
            raised_at=self.live.at,
        )  # fmt: skip
        row = next(a for a in ask()["alarms"] if a["point"] == point.tag)
        assert row["active_now"]
        assert row["options"][0]["first_s"] == 0
        assert row["options"][0]["clears"] == 1
        assert ask()["first"][0] is None

    def test_it_reads_the_database_a_fixed_number_of_times(self) -> None:
        ask(TRIP)
        with CaptureQueriesContext(connection) as queries:
            ask(TRIP)
        assert len(queries) <= 6, [q["sql"] for q in queries]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"changes": "x"}, "changes", "list"),
    ({"changes": [1]}, "changes[0]", "object"),
    ({"changes": [{"what": "crac_trip"}]}, "changes[0].asset", "name an asset"),
    ({"changes": [{"asset": "crac-9", "what": "crac_trip"}]}, "changes[0].asset", "not an asset"),
    ({"changes": [{"asset": "crac-2"}]}, "changes[0]", "either what"),
    ({"changes": [{"asset": "crac-2", "what": "crac_trip", "quantity": "tripped"}]}, "changes[0]", "either"),
    ({"changes": [{"asset": "crac-2", "what": "magic"}]}, "changes[0].what", "catalogue"),
    ({"changes": [{"asset": "rack-1-03", "what": "crac_trip"}]}, "changes[0].what", "rack-1-03 is a rack"),
    ({"changes": [{**TRIP, "value": 3}]}, "changes[0].value", "takes no value"),
    ({"changes": [{**TRIP, "when": 3}]}, "changes[0].when", "unknown field"),
    ({"changes": [{**TRIP, "at_s": -1}]}, "changes[0].at_s", "0 s to the duration"),
    ({"changes": [{**TRIP, "at_s": 9000}], "duration_s": 600}, "changes[0].at_s", "duration"),
    ({"changes": [{**TRIP, "at_s": True}]}, "changes[0].at_s", "not a number"),
    ({"changes": [{"asset": "crac-1", "what": "crac_fan", "value": 20}]}, "changes[0].value", "30 … 100"),
    ({"changes": [{"asset": "crac-1", "what": "crac_fan", "value": float("nan")}]}, "changes[0].value", "finite"),
    ({"changes": [{"asset": "crac-1", "quantity": "supply_c", "value": 3}]}, "changes[0].quantity", "cannot be set"),
    ({"changes": [{"asset": "crac-1", "quantity": "supply_sp_c"}]}, "changes[0].value", "give a number"),
    ({"changes": [{"asset": "crac-1", "quantity": "supply_sp_c", "value": 99}]}, "changes[0].value", "14 … 24 Cel"),
    ({"changes": [TRIP] * 51}, "changes", "at most 50"),
    ({"duration_s": 90_000}, "duration_s", "24 h"),
    ({"duration_s": 5}, "duration_s", "not from 60"),
    ({"draws": 33}, "draws", "1 to 32"),
    ({"draws": 1.5}, "draws", "whole number"),
    ({"seed": -1}, "seed", "whole number"),
    ({"record": ["nope"]}, "record[0]", "no point"),
    ({"record": ["max(cow.weight_kg)"]}, "record[0]", "no cow"),
    ({"record": ["rack-1-01.inlet_c"] * 41}, "record", "at most 40"),
    ({"title": "x" * 201}, "title", "200"),
    ({"surprise": 1}, "surprise", "unknown field"),
]  # fmt: skip


class TestRefusals(InDemoHall):
    def test_it_refuses_what_cannot_be_asked(self) -> None:
        for data, field, words in BAD:
            with self.subTest(field=field, words=words):
                with pytest.raises(QuestionError) as refused:
                    question_for(data, self.live, data_list())
                assert refused.value.field == field
                assert words in str(refused.value)


def test_it_has_limits_for_every_drive() -> None:
    assert set(DRIVE_LIMITS) == set(DRIVES)
    for key, span in DRIVE_LIMITS.items():
        assert span.low < span.high, key
        default = DRIVES[key].default
        assert not np.isfinite(default) or span.low <= default <= span.high, key


@pytest.mark.django_db
@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_entry_of_the_catalogue_moves_drives_within_limits(name: str) -> None:
    from facilities.twin.drive import Drive

    site = read_site()
    drive, listed, entry = Drive(site), data_list(), ENTRIES[name]
    for kind in entry.kinds:
        known = {"site": "site", "rack": "rack-1-03"}
        tag = known.get(kind) or site.tags(kind)[0]
        value = entry.default if entry.value is None else entry.value
        made = changes_of(entry, site, drive, asset=tag, value=value, at_s=5)
        assert made, (name, tag)
        Schedule(made).check(site)
        if entry.asks:
            span = entry.span(site, listed, tag)
            assert span.low <= value <= span.high
        assert entry.sentence.format(name="X", value=value)
        for change in made:
            of = "site" if change.asset == "site" else site.locate(change.asset).kind
            low, high = DRIVE_LIMITS[of, change.quantity]
            assert low <= change.value <= high


class TestAlarmTimes:
    """Against trajectories worked by hand: a moment every 5 s."""

    TIMES = np.arange(0.0, 100.0, 5.0)

    def times_of(self, values: Any, **levels: Any) -> tuple[Any, Any]:
        named = {
            "raise_level": 27.0,
            "clear_level": 26.0,
            "delay_s": 10.0,
            "held_s": 0.0,
            "active": False,
        }
        named |= levels  # fmt: skip
        signal = np.asarray(values, dtype=float)[:, None, None]
        raised, cleared = excursions(
            signal, self.TIMES, **{name: np.array([value]) for name, value in named.items()}
        )
        return raised[0, 0], cleared[0, 0]

    def test_it_waits_for_the_delay_and_clears_at_the_clear_level(self) -> None:
        values = [25] * 4 + [28] * 6 + [26.5] * 4 + [25.9] * 6  # above from 20 s, clear from 70 s
        assert self.times_of(values) == (30.0, 70.0)

    def test_it_starts_the_delay_anew_after_a_dip(self) -> None:
        values = [28, 28, 25] + [28] * 17  # from 15 s without a break
        assert self.times_of(values, delay_s=20.0)[0] == 35.0

    def test_it_never_raises_below_the_level(self) -> None:
        raised, cleared = self.times_of([27.0] * 20)
        assert np.isnan(raised)
        assert np.isnan(cleared)

    def test_it_counts_the_time_that_a_condition_has_held_already(self) -> None:
        assert self.times_of([28] * 20, delay_s=60.0, held_s=45.0)[0] == 15.0

    def test_it_takes_an_alarm_that_is_on_as_raised_now(self) -> None:
        assert self.times_of([26.5] * 10 + [25] * 10, active=True) == (0.0, 50.0)

    def test_it_raises_nothing_where_there_is_no_value(self) -> None:
        assert np.isnan(self.times_of([np.nan] * 20)[0])

    @given(
        st.lists(st.floats(20, 35), min_size=20, max_size=20),
        st.sampled_from([0.0, 5.0, 10.0, 25.0]),
    )
    def test_it_agrees_with_the_rules_of_the_engine(
        self, values: list[float], delay_s: float
    ) -> None:
        from datetime import UTC, datetime, timedelta

        from facilities.alarms.rules import NORMAL, Levels, Phase, step

        levels, state, start = (
            Levels("above", 27.0, 26.0, delay_s),
            NORMAL,
            datetime(2026, 1, 1, tzinfo=UTC),
        )
        raised = cleared = float("nan")
        for time_s, value in zip(self.TIMES, values, strict=True):
            after = step(levels, state, ts=start + timedelta(seconds=time_s), value=value)
            if after.phase is Phase.ACTIVE and state.phase is not Phase.ACTIVE and raised != raised:
                raised = time_s
            if (
                state.phase is Phase.ACTIVE
                and after.phase is not Phase.ACTIVE
                and cleared != cleared
            ):
                cleared = time_s
            state = after
        found = self.times_of(values, delay_s=delay_s)
        np.testing.assert_equal(found, (raised, cleared))


class TestSignals:
    def test_a_slow_instrument_reads_a_ramp_late_by_its_time_constant(self) -> None:
        times = np.arange(0.0, 300.0, 5.0)
        true = (20 + 0.1 * times)[:, None, None]
        read = lagged(true, times, np.array([10.0]))
        assert true[-1, 0, 0] - read[-1, 0, 0] == pytest.approx(0.1 * 10.0, rel=1e-6)
        np.testing.assert_array_equal(lagged(true, times, np.array([0.0])), true)

    def test_the_slope_of_a_ramp_is_its_rate_per_minute(self) -> None:
        times = np.arange(0.0, 300.0, 5.0)
        true = (20 - 0.05 * times)[:, None, None]
        assert rate_signal(true, times, {})[-1, 0, 0] == pytest.approx(-3.0)
        either = rate_signal(true, times, {"direction": "either", "window_s": 30})
        assert either[-1, 0, 0] == pytest.approx(3.0)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.floats(0, 5))
def test_a_band_is_in_order_and_holds_the_first_draw(values: list[float], residual: float) -> None:
    found = band(np.array(values)[:, None], residual=residual)
    low, middle, high = (float(found[name][0]) for name in ("p10", "p50", "p90"))
    assert low <= middle <= high
    assert low <= values[0] <= high
    assert high - low >= 2 * 1.28 * residual - 1e-9


def test_it_keeps_to_its_memory_on_a_large_site() -> None:
    from facilities.twin.read import multiplied
    from facilities.whatif.ensemble import MEMORY_BYTES

    site = multiplied(read_site(), 63)
    keys = [("gpu", "temp_c"), ("rack", "inlet_c"), ("gpu", "speed")]
    for draws in (1, 8, 100):
        steps = steps_for(site, keys, Question((), draws=draws))
        kept = 1800 / steps.every_s + 1
        elements = 2 * site.count("gpu") + site.count("rack")
        assert steps.chunk * kept * elements * 4 <= MEMORY_BYTES * 1.05


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "5 s"),
        (119, "119 s"),
        (120, "2 min"),
        (4200, "70 min"),
        (7200, "2 h"),
        (9000, "2 h 30 min"),
    ],
)
def test_it_speaks_of_times(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
