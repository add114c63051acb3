"""A plant for tests of the tracker: a twin with other parameters behind lagged, noisy sensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from facilities.twin.coupled import Parameters, Twin
from facilities.twin.drive import Drive
from facilities.twin.estimate.points import PointSpec
from facilities.twin.estimate.sensor import lagged, quantised
from facilities.twin.site import Site

Readings = dict[str, tuple[float, int]]


class Plant:
    """Yields what its instruments say every ``dt_s``; load and weather swing."""

    def __init__(
        self,
        site: Site,
        specs: list[PointSpec],
        *,
        parameters: Parameters | None = None,
        health: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
        biases: Mapping[str, float] | None = None,
        swing: float = 0.25,
        dt_s: float = 30.0,
        seed: int = 1,
    ) -> None:
        self.site, self.specs, self.dt_s, self.swing = site, specs, dt_s, swing
        self.twin = Twin(site, parameters)
        self.drive = Drive(site)
        for (_, quantity), by_asset in (health or {}).items():
            for asset, value in by_asset.items():
                self.drive.set(asset, quantity, value)
        self.biases = dict(biases or {})
        self.random = np.random.default_rng(seed)
        self._load(0.0)
        self.state = self.twin.initial(self.drive)
        self._shown: dict[str, float] = {}
        self.time_s = 0.0

    def run(
        self, hours: float, each: Callable[[float], None] | None = None
    ) -> Iterator[tuple[float, Readings]]:
        """Times (s) and readings; ``each`` may change the drive before every step."""
        for _ in range(round(hours * 3600 / self.dt_s)):
            self._load(self.time_s)
            if each is not None:
                each(self.time_s)
            steps = max(1, round(self.dt_s / 10.0))
            for _ in range(steps):
                self.twin.step(self.state, self.drive, self.dt_s / steps)
            self.time_s += self.dt_s
            yield self.time_s, self.readings()

    def readings(self) -> Readings:
        """What every instrument shows now."""
        values = self.twin.values(self.state, self.drive)
        found: Readings = {}
        for spec in self.specs:
            key, row = (spec.kind, spec.quantity), self.site.place[spec.asset].row
            if key in values:
                true = float(values[key][0, row])
            elif key in self.drive.values:
                true = float(self.drive[key][0, row])
            elif key == ("weather", "dry_bulb_c") or key == ("weather", "wet_bulb_c"):
                true = float(self.drive["site", spec.quantity][0, 0])
            elif spec.quantity in ("fault", "xid", "door_open", "start_fail"):
                true = 0.0
            else:
                continue
            found[spec.tag] = (self._instrument(spec, true), 1)
        return found

    def _instrument(self, spec: PointSpec, true: float) -> float:
        tau = np.array([spec.tau_s or 0.0])
        before = np.array([self._shown.get(spec.tag, true)])
        shown = float(lagged(before, np.array([true]), self.dt_s, tau)[0])
        self._shown[spec.tag] = shown
        step = spec.precision or 0.0
        if spec.tau_s and true != 0.0:
            shown += 0.4 * step * self.random.normal()
        shown += self.biases.get(spec.tag, 0.0)
        return float(quantised(np.array([shown]), np.array([step if spec.tau_s else 0.0]))[0])

    def _load(self, time_s: float) -> None:
        """Two waves on the load, another one on the weather."""
        wave = np.sin(2 * np.pi * time_s / 5400.0) + 0.4 * np.sin(2 * np.pi * time_s / 1300.0)
        self.drive["gpu", "demand"][:] = np.clip(0.65 + self.swing * wave, 0.05, 1.0)
        self.drive["site", "wet_bulb_c"][:] = 11.0 + 3.0 * np.sin(2 * np.pi * time_s / 20_000.0)
        self.drive["site", "dry_bulb_c"][:] = 15.0 + 5.0 * np.sin(2 * np.pi * time_s / 20_000.0)
