"""The streaming tests on the demo plant: quiet while it is healthy, quick when an instrument fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from facilities.demo.plant.faults import conditions_of
from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import read_facility
from facilities.demo.plant.sensors import Sensors
from facilities.ingest.points import columns_of
from facilities.ingest.samples import Batch
from facilities.quality.limits import limits_of
from facilities.quality.stream import StreamQuality

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Watched:
    """A plant, its instruments, and the flags of what they say every two seconds."""

    def __init__(self) -> None:
        self.spec = read_facility()
        self.plant, self.sensors = Plant(self.spec, seed=7), Sensors(self.spec, seed=8)
        rows = [
            (n + 1, p.tag, p.unit, p.quantity, n, p.minimum, p.maximum, p.precision, 2.0, p.tau_s, False)
            for n, p in enumerate(self.spec.points)
        ]  # fmt: skip
        self.columns = columns_of(1, rows)
        states = np.array([n + 1 for n, p in enumerate(self.spec.points) if p.is_state], np.int64)
        self.check = StreamQuality(limits=limits_of(self.columns, states=states, own={}))
        self.elapsed_s = 0
        self.readings = 0
        self.flagged: list[tuple[int, str, int]] = []

    def fail(self, *names: str) -> None:
        self.plant.conditions = conditions_of(names, self.spec)
        self.sensors.faults = self.plant.conditions.instruments

    def run(self, seconds: int) -> None:
        tags = self.sensors.tags
        rows = np.array([self.columns.by_tag[tag] for tag in tags], np.int32)
        for _ in range(seconds):
            self.elapsed_s += 1
            at = START + timedelta(seconds=self.elapsed_s)
            self.plant.step(1.0, at=at)
            self.sensors.step(1.0, values=self.plant.values())
            if self.elapsed_s % 2:
                continue
            values = np.array(self.sensors.read())
            said = np.flatnonzero(~np.isnan(values))
            moment = round(at.timestamp() * 1e6)
            batch = Batch(
                rows[said], np.full(len(said), moment), values[said], said.astype(np.int32)
            )
            flags = self.check.check(self.columns, batch, moment + 100_000)
            self.readings += len(said)
            for place in np.flatnonzero(flags > 1):
                self.flagged.append((self.elapsed_s, tags[said[place]], int(flags[place])))


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    made.run(900)
    made.flagged.clear()
    made.readings = 0
    return made


def test_it_flags_nearly_nothing_in_a_healthy_half_hour(watched: Watched) -> None:
    watched.run(1800)
    assert watched.readings == len(watched.spec.points) * 900
    assert len(watched.flagged) <= watched.readings * 2e-5, watched.flagged[:10]


@pytest.mark.parametrize(
    ("fault", "tag", "within_s"),
    [("sensor-stuck", "crac-1.return_c", 400), ("sensor-spikes", "rack-1-05.inlet_c", 240)],
)
def test_it_flags_a_failed_instrument(
    watched: Watched, fault: str, tag: str, within_s: int
) -> None:
    began = watched.elapsed_s
    watched.fail(fault)
    watched.run(within_s + 60)
    found = [at for at, who, _ in watched.flagged if who == tag]
    assert found
    assert found[0] - began <= within_s
    others = [who for _, who, _ in watched.flagged if who != tag]
    assert len(others) <= watched.readings * 1e-4, others[:10]


def test_it_takes_a_real_event_for_what_it_is(watched: Watched) -> None:
    """A tripped CRAC and a lost feed move values quickly; sensors that follow are not to blame."""
    watched.fail("crac-2-trip", "utility-loss")
    watched.run(180)
    watched.fail()
    watched.run(180)
    share = len(watched.flagged) / watched.readings
    assert share < 1e-3, watched.flagged[:20]
