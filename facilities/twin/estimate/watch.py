"""Which series predictive maintenance watches, and where their limits are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from facilities.twin.site import Floats, Site

from .blocks import Block
from .local import LocalFilter
from .maintenance import Finding, Monitor, What
from .points import Key, Points

FILTER_PA: Final = 250.0
GPU_LIMIT_C: Final = 87.0
BATTERY_TIMES: Final = 1.3
"""Fallbacks where the data list has no alarm rule: final resistance of a filter class, maximum
operating temperature of an H100 SXM, and a battery 30 % over its first resistance (assumed)."""

FAN_EFFICIENCY: Final = 0.8
"""A fan that needs a quarter more power for its air is worn (assumed)."""

FAN_SHORT_PCT: Final = 15.0
"""Setpoint minus speed at which the drive counts as limited (assumed)."""

COIL_UA: Final = 0.7
"""A coil that lost 30 % no longer carries its rating at design water (assumed)."""

SENSOR_K: Final = 2.0
"""A drift of 2 K hides the two steps between GPU limits; beyond it a sensor is replaced (assumed)."""

LEAST_DP_PA: Final = 20.0
LEAST_RISE_K: Final = 15.0
PAIRED: Final = {
    ("rack", "inlet_c"): ("rack", "outlet_c"),
    ("rack", "outlet_c"): ("rack", "inlet_c"),
}
"""What is warm on one side of a rack is warm on the other: a drift is what only one side shows."""

SENSORS: Final = (
    ("rack", "inlet_c"), ("rack", "outlet_c"), ("crac", "supply_c"), ("crac", "return_c"),
    ("chiller", "supply_c"), ("chiller", "return_c"), ("cdu", "supply_c"), ("tower", "leaving_c"),
    ("pump", "flow_lps"),
)  # fmt: skip
COMMON: Final = 4
"""From so many instruments of a kind on, what all of them show is the plant, not the sensor."""


class Watch:
    """Makes the monitored series out of readings, estimates and residuals."""

    covariates = 4

    def __init__(self, site: Site, points: Points, levels: Mapping[Key, float]) -> None:
        self.site = site
        self.points = points
        self.filter_pa = levels.get(("crac", "filter_dp_pa"), FILTER_PA)
        self.gpu_c = levels.get(("gpu", "temp_c"), GPU_LIMIT_C)
        monitors: list[Monitor] = []

        def add(
            what: What, kind: str, parameter: str, unit: str, direction: int, floor: float,
            level: float, says: str, sway: float, quantity: str = "",
        ) -> None:  # fmt: skip
            column = points.columns.get((kind, quantity))
            tags = column.tags if column else ()
            monitors.append(
                Monitor(
                    what,
                    site.tags(kind),
                    parameter,
                    unit,
                    direction,
                    floor,
                    level,
                    says,
                    sway,
                    tags,
                )
            )

        add("filter", "crac", "filter resistance", "times clean", 1, 0.1, np.inf,
            "the air filter fouls", 0.03, "filter_dp_pa")  # fmt: skip
        add("fan", "crac", "fan efficiency", "of new", -1, 0.05, FAN_EFFICIENCY,
            "the fan needs more power for the same air", 0.01, "power_w")  # fmt: skip
        add("fan", "crac", "fan speed short of its setpoint", "%", 1, 2.0, FAN_SHORT_PCT,
            "the fan no longer reaches its setpoint", 0.3, "fan_speed_pct")  # fmt: skip
        add("coil", "crac", "coil UA", "of rated", -1, 0.08, COIL_UA,
            "the coil fouls", 0.05, "valve_pct")  # fmt: skip
        add("paste", "gpu", "thermal resistance", "times new", 1, 0.08, np.inf,
            "paste or heat sink decays", 0.03, "temp_c")  # fmt: skip
        battery = levels.get(("ups", "battery_resistance_mohm"), np.inf)
        first = site.attribute("ups", "battery_resistance_mohm", np.nan)
        if not np.isfinite(battery) and np.isfinite(first).any():
            battery = BATTERY_TIMES * float(np.nanmean(first))
        floor = 0.02 * float(np.nanmean(first)) if np.isfinite(first).any() else 3.0
        add("battery", "ups", "battery resistance", "mOhm", 1, floor, battery,
            "the battery weakens", 0.3, "battery_resistance_mohm")  # fmt: skip
        for kind, quantity in SENSORS:
            unit, size = ("L/s", 1.5) if quantity == "flow_lps" else ("K", SENSOR_K)
            add("sensor", kind, f"{quantity} against the twin", unit, 0, 0.4 * size, size,
                "the sensor drifts", 0.15 * size, quantity)  # fmt: skip
        self.monitors = tuple(monitors)

    def load(self, values: Mapping[Key, Floats]) -> Floats:
        """Covariates: what moves model errors without anything wearing out, (4,). One of each is
        much: a fifth of the IT load, 5 K of wet bulb, 10 % of fan speed, 2 K of setpoint.
        """
        it_w = _mean(values, ("hall", "it_power_w"))
        return np.array(
            [
                5.0 * np.log(max(it_w, 1.0)) if np.isfinite(it_w) else np.nan,
                _mean(values, ("weather", "wet_bulb_c"), 0.0) / 5.0,
                _mean(values, ("crac", "fan_speed_pct")) / 10.0,
                _mean(values, ("crac", "supply_sp_c"), 0.0) / 2.0,
            ]
        )

    def series(
        self,
        values: Mapping[Key, Floats],
        filters: Mapping[str, LocalFilter],
        blocks: Sequence[Block],
        shown: Mapping[Key, Floats],
    ) -> tuple[list[Floats], dict[int, Floats]]:
        """One array per monitor, and levels by place of those that move with the load."""
        running = values.get(("crac", "running"), np.full(self.site.count("crac"), np.nan)) >= 0.5
        theta = _thetas(filters, blocks)
        resistance = np.where(running, self._theta(theta, "crac", "filter_resistance"), np.nan)
        wanted, speed = (
            values.get(("crac", name), np.full(len(running), np.nan))
            for name in ("fan_speed_sp_pct", "fan_speed_pct")
        )
        paste = self._theta(theta, "gpu", "thermal_resistance")
        series = [
            resistance,
            np.where(running, self._theta(theta, "crac", "fan_efficiency"), np.nan),
            np.where(running & (speed > 5.0), wanted - speed, np.nan),
            np.where(running, self._theta(theta, "crac", "coil_ua"), np.nan),
            paste,
            values.get(("ups", "battery_resistance_mohm"), np.full(self.site.count("ups"), np.nan)),
        ]
        series += [self._mismatch(key, values, shown, running) for key in SENSORS]
        return series, self._levels(values, resistance, paste)

    def sifted(self, findings: list[Finding]) -> list[Finding]:
        """Without drifts of sensors that are better explained by their neighbours or by wear."""
        moving = {(f.asset, f.parameter): f for f in findings}
        kept = []
        worn = {f.asset for f in findings if f.what in ("filter", "fan", "coil")}
        for finding in findings:
            if finding.what == "sensor":
                quantity = finding.parameter.partition(" ")[0]
                kind = self.site.locate(finding.asset).kind
                pair = PAIRED.get((kind, quantity))
                other = moving.get((finding.asset, f"{pair[1]} against the twin")) if pair else None
                if other is not None and _explains(other, finding):
                    continue
                if finding.asset in worn:
                    continue
            kept.append(finding)
        return kept

    def _mismatch(
        self,
        key: Key,
        values: Mapping[Key, Floats],
        shown: Mapping[Key, Floats],
        running: np.ndarray,
    ) -> Floats:
        """Measured minus predicted without offset, and without what all of the kind share."""
        count = self.site.count(key[0])
        if key not in values or key not in shown:
            return np.full(count, np.nan)
        away = values[key] - shown[key][0]
        if key[0] == "crac":
            away = np.where(running, away, np.nan)
        known = np.isfinite(away)
        if known.sum() >= COMMON:
            away = away - np.median(away[known])
        return away

    def _theta(self, theta: Mapping[Key, Floats], kind: str, name: str) -> Floats:
        return theta.get((kind, name), np.full(self.site.count(kind), np.nan))

    def _levels(
        self, values: Mapping[Key, Floats], resistance: Floats, paste: Floats
    ) -> dict[int, Floats]:
        """Resistance at which the alarm level is reached at the present flow, or load."""
        levels: dict[int, Floats] = {}
        dp = values.get(("crac", "filter_dp_pa"))
        if dp is not None:
            levels[0] = np.where(dp > LEAST_DP_PA, resistance * self.filter_pa / dp, np.nan)
        temp, inlet = values.get(("gpu", "temp_c")), values.get(("server", "inlet_c"))
        if temp is not None and inlet is not None:
            server = self.site.within("gpu", "server")
            rise = temp - inlet[server]
            level = paste * (self.gpu_c - inlet[server]) / np.maximum(rise, 1.0)
            levels[4] = np.where(rise > LEAST_RISE_K, level, np.nan)
        return levels


def _explains(other: Finding, finding: Finding) -> bool:
    same = other.slope_per_h * finding.slope_per_h > 0
    return same and abs(other.slope_per_h) > 0.5 * abs(finding.slope_per_h)


def _thetas(filters: Mapping[str, LocalFilter], blocks: Sequence[Block]) -> dict[Key, Floats]:
    return {
        (b.kind, u.name): filters[b.kind].theta[:, column]
        for b in blocks
        for column, u in enumerate(b.unknowns)
    }


def _mean(values: Mapping[Key, Floats], key: Key, default: float = np.nan) -> float:
    found = values.get(key)
    if found is None or not np.isfinite(found).any():
        return default
    return float(np.nanmean(found))
