"""What a slow sensor costs: the same incident, with the cooling reacting to different sensors.

A cooling unit is lost, or all that run, or the load jumps. The room's control watches one rack's
inlet sensor: ``ACT_K`` above what it reads now (27 °C at most) it runs every healthy unit, standby
too, at full fan speed, and goes back once the reading is ``BACK_K`` above that again. The run is
repeated in one batch with the sensor as it is, with a faster one, and with an ideal one; what
differs is what the slow sensor costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from facilities.twin.coupled import Twin, TwinState
from facilities.twin.drive import Drive
from facilities.twin.site import Floats

from .sensor import lagged

LIMIT_C: Final = 27.0
"""Upper limit of the recommended envelope (ASHRAE TC 9.9): the control acts here at the latest."""
ACT_K: Final = 2.0
BACK_K: Final = 0.5
"""How far above its present reading the control acts, and goes back (assumed)."""
HOT_C: Final = 32.0
"""Allowable limit of class A1 (ASHRAE TC 9.9)."""
FAST_TAU_S: Final = 5.0
FAST_POLL_S: Final = 1.0
"""A bare bead in the air stream: tau 2…5 s (reference, table of sensors in air)."""
STEP_S: Final = 5.0
DURATION_S: Final = 1800.0
LEVELS: Final = ("as it is", "faster", "ideal")

Incident = Literal["unit lost", "cooling lost", "load step"]


class Watched(NamedTuple):
    """The sensor of one rack: time constant, and how old a value is when it is acted on."""

    rack: str
    tau_s: float
    delay_s: float


@dataclass(frozen=True)
class Outcome:
    """One incident with one sensor. ``acted_s`` is None when the control never acted.

    ``peak_c`` is the hottest inlet of all racks, true value; ``hot_rack_s`` sums the seconds of
    every rack above 32 °C; ``lost_gpu_s`` what throttling took; ``energy_wh`` of the whole site.
    """

    acted_s: float | None
    peak_c: float
    over_k_min: float
    hot_rack_s: float
    lost_gpu_s: float
    energy_wh: float


@dataclass(frozen=True)
class SensorCost:
    """One sensor, one incident: as it is, with a faster one, with an ideal one."""

    rack: str
    incident: Incident
    tau_s: float
    delay_s: float
    outcomes: tuple[Outcome, Outcome, Outcome]

    @property
    def late_s(self) -> float | None:
        """Seconds that the control acts later than with an ideal sensor."""
        own, _, ideal = self.outcomes
        if own.acted_s is None or ideal.acted_s is None:
            return None
        return own.acted_s - ideal.acted_s

    @property
    def lost_gpu_s(self) -> float:
        """GPU-seconds that the sensor's slowness costs."""
        return self.outcomes[0].lost_gpu_s - self.outcomes[2].lost_gpu_s

    @property
    def wasted_wh(self) -> float:
        """Energy that the sensor's slowness costs; negative where reacting late saved some."""
        return self.outcomes[0].energy_wh - self.outcomes[2].energy_wh


def sensor_costs(
    twin: Twin,
    state: TwinState,
    drive: Drive,
    watched: Sequence[Watched],
    *,
    incident: Incident = "unit lost",
    duration_s: float = DURATION_S,
) -> list[SensorCost]:
    """Cost of every watched sensor; one batched run of 3 x sensors members.

    ``state`` and ``drive`` are of one member and are not changed.
    """
    if not watched:
        return []
    site, count = twin.site, len(watched)
    members = 3 * count
    state, drive = state.repeated(members), drive.repeated(members)
    rack = np.tile([site.locate(w.rack).row for w in watched], 3)
    own_tau = np.array([w.tau_s for w in watched])
    own_delay = np.array([w.delay_s for w in watched])
    tau = np.concatenate([own_tau, np.minimum(own_tau, FAST_TAU_S), np.zeros(count)])
    delay = np.concatenate([own_delay, np.minimum(own_delay, FAST_POLL_S), np.zeros(count)])
    _begin(twin, drive, incident)
    control = _Control(twin, drive, state.thermal.inlet_c[np.arange(members), rack], tau, delay)
    sums = np.zeros((5, members))  # K·min over, hot rack s, lost GPU s, Ws, peak
    sums[4] = -np.inf
    for number in range(round(duration_s / STEP_S)):
        twin.step(state, drive, STEP_S)
        values = twin.values(state, drive)
        inlet = values["rack", "inlet_c"]
        control.act(drive, inlet[np.arange(members), rack], (number + 1) * STEP_S)
        sums[0] += np.maximum(inlet - LIMIT_C, 0.0).sum(axis=1) * STEP_S / 60.0
        sums[1] += (inlet > HOT_C).sum(axis=1) * STEP_S
        sums[2] += _lost(values, members) * STEP_S
        sums[3] += values["hall", "facility_power_w"].sum(axis=1) * STEP_S
        sums[4] = np.maximum(sums[4], inlet.max(axis=1))
    outcomes = [
        Outcome(
            None if np.isnan(control.acted_s[m]) else float(control.acted_s[m]),
            float(sums[4, m]), float(sums[0, m]), float(sums[1, m]), float(sums[2, m]),
            float(sums[3, m]) / 3600.0,
        )
        for m in range(members)
    ]  # fmt: skip
    return [
        SensorCost(
            w.rack, incident, w.tau_s, w.delay_s,
            (outcomes[i], outcomes[count + i], outcomes[2 * count + i]),
        )
        for i, w in enumerate(watched)
    ]  # fmt: skip


class _Control:
    """Runs all healthy units at full speed while a member's reading is too warm."""

    def __init__(
        self, twin: Twin, drive: Drive, inlet_c: Floats, tau_s: Floats, delay_s: Floats
    ) -> None:
        self._normal = (
            drive["crac", "run_cmd"].copy(),
            drive["crac", "fan_speed_sp_pct"].copy(),
        )
        self._shown = inlet_c.copy()
        self._act_c = np.minimum(inlet_c + ACT_K, LIMIT_C)
        self._back_c = np.minimum(inlet_c + BACK_K, self._act_c - 0.1)
        self._tau_s = tau_s
        #: What was read before the delay ended: the reading of ``delay`` ago, by whole steps.
        self._late = np.round(delay_s / STEP_S).astype(np.int64)
        self._past = [inlet_c.copy() for _ in range(int(self._late.max(initial=0)) + 1)]
        self._on = np.zeros(len(inlet_c), dtype=bool)
        self.acted_s = np.full(len(inlet_c), np.nan)

    def act(self, drive: Drive, inlet_c: Floats, time_s: float) -> None:
        self._shown = lagged(self._shown, inlet_c, STEP_S, self._tau_s)
        self._past = [self._shown.copy(), *self._past[:-1]]
        seen = np.stack(self._past)[self._late, np.arange(len(inlet_c))]
        quiet = np.where(seen < self._back_c, False, self._on)
        self._on = np.where(seen >= self._act_c, True, quiet)
        first = self._on & np.isnan(self.acted_s)
        self.acted_s[first] = time_s
        run, speed = self._normal
        on = self._on[:, None]
        drive["crac", "run_cmd"][:] = np.where(on, 1.0, run)
        drive["crac", "fan_speed_sp_pct"][:] = np.where(on, 100.0, speed)


def _begin(twin: Twin, drive: Drive, incident: Incident) -> None:
    """The incident: the strongest running unit trips, or all of them, or GPUs go to full load."""
    if incident == "load step":
        drive["gpu", "demand"][:] = 1.0
        return
    running = (drive["crac", "run_cmd"][0] > 0.5) & (drive["crac", "tripped"][0] < 0.5)
    if incident == "cooling lost":
        drive["crac", "tripped"][:, running] = 1.0
    elif running.any():
        flow = twin.site.attribute("crac", "airflow_m3s", 1.0) * running
        drive["crac", "tripped"][:, int(np.argmax(flow))] = 1.0


def _lost(values: dict[tuple[str, str], Floats], members: int) -> Floats:
    """GPUs' worth of work that limits take just now, (members,)."""
    if ("gpu", "speed") not in values:
        return np.zeros(members)
    busy = values["gpu", "util_pct"] > 5.0
    return np.where(busy, np.clip(1.0 - values["gpu", "speed"], 0.0, 1.0), 0.0).sum(axis=1)
