"""The twin kept in step with the plant: predict, compare, correct, learn.

One ``update`` per snapshot:

1. readings become arrays; flagged, absent and impossible ones are left out;
2. a first snapshot, a gap or a jump in time starts the state anew (parameters stay);
3. commands, weather and demand of the snapshot act on all members of the ensemble;
4. the ensemble runs to the snapshot's time, instruments' lag included;
5. each kind's local filter takes what was measured minus what was predicted, with the ensemble's
   sensitivities, and moves parameters and offsets;
6. the state is drawn gently to the measured values;
7. accuracy sums and the series of predictive maintenance are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from facilities.twin.coupled import Parameters, Twin, TwinState
from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site

from .blocks import blocks
from .ensemble import Ensemble
from .fitness import Score
from .inputs import Inputs
from .local import LocalFilter
from .maintenance import Finding, Maintenance
from .points import Key, Points, PointSpec
from .sensor import Gap, SensorFilter, lagged
from .watch import Watch

STEP_S: Final = 5.0
MAX_GAP_S: Final = 120.0
"""After a longer silence the state starts anew from the snapshot (assumed)."""

FREE_S: Final = 1800.0
"""How long the uncorrected member runs before it starts anew."""

NUDGE_S: Final = 600.0
"""Time constant of the state's correction: slow against the hall's air (about 2 min), so that
parameter errors stay visible in the residuals (assumed)."""

MACHINES: Final = frozenset({"crac", "chiller", "pump", "cdu", "tower"})
SHOWN_LAG_S: Final = 2.0
"""Gaps are estimated for instruments slower than this."""


class PointResult(NamedTuple):
    """One followed point at the snapshot. ``predicted`` contains the learnt offset."""

    tag: str
    kind: str
    unit: str
    measured: float
    predicted: float
    residual: float
    sigma: float
    offset: float


class GapResult(NamedTuple):
    """What a slow instrument hides: the estimated true value, its slope per second."""

    tag: str
    unit: str
    tau_s: float
    delay_s: float
    detected: float
    value: float
    slope: float
    gap: float
    sigma: float


class Estimate(NamedTuple):
    """One slow parameter of one asset."""

    asset: str
    name: str
    meaning: str
    value: float
    sigma: float
    prior: float
    known: bool
    """Whether the plant's operation has told anything about it."""


@dataclass
class Update:
    """What one snapshot brought. ``restarted`` says why the state began anew, or is empty.

    ``findings`` is None where nothing was judged this time.
    """

    at_s: float
    dt_s: float
    restarted: str
    points: list[PointResult] = field(default_factory=list)
    gaps: list[GapResult] = field(default_factory=list)
    findings: list[Finding] | None = None


class Tracker:
    """Follows one site. Times are epoch seconds; readings are ``{tag: (value, QARTOD flag)}``."""

    def __init__(
        self,
        site: Site,
        specs: Iterable[PointSpec],
        *,
        parameters: Parameters | None = None,
        levels: Mapping[Key, float] | None = None,
        step_s: float = STEP_S,
    ) -> None:
        self.site = site
        self.step_s = step_s
        self.points = Points(site, specs)
        self.inputs = Inputs(site)
        self.base = Twin(site, parameters)
        drive = Drive(site)
        state = self.base.initial(drive)
        computed = self.base.values(state, drive).keys()
        measured = frozenset(self.points.columns) & frozenset(computed)
        self.blocks = blocks(frozenset(k for k, _ in measured), measured)
        unknowns = [u for block in self.blocks for u in block.unknowns]
        self.ensemble = Ensemble(site, unknowns, self.base.parameters, state, drive)
        self.filters = {b.kind: LocalFilter(site.count(b.kind), b.prior()) for b in self.blocks}
        self.keys = tuple((b.kind, f.quantity) for b in self.blocks for f in b.followed)
        self._tau = {k: self.points.columns[k].numbers("tau_s", 0.0) for k in self.keys}
        self._noise = {k: self.points.instruments([k]).noise for k in self.keys}
        self.slow = tuple(
            key
            for key, column in sorted(self.points.columns.items())
            if key[1].endswith("_c") and column.numbers("tau_s", 0.0).max() >= SHOWN_LAG_S
            and not key[1].endswith("_sp_c")
        )  # fmt: skip
        self.sensors = SensorFilter(self.points.instruments(self.slow))
        self.watch = Watch(site, self.points, levels or {})
        self.maintenance = Maintenance(self.watch.monitors, self.watch.covariates)
        self.frozen = False
        """True: nothing is learnt and the state is not corrected, only predicted and judged."""
        self.at_s: float | None = None
        self.free_from: float | None = None
        self.shown: dict[Key, Floats] = {}
        """Predicted readings of the members, lag included, (members, assets)."""
        self.free_offset: dict[Key, Floats] = {}
        self.step_score, self.free_score = Score(), Score()

    # -- one snapshot -----------------------------------------------------------------------

    def update(self, at_s: float, readings: Mapping[str, tuple[float, int]]) -> Update | None:
        """Take the plant's state at ``at_s``. None for a time that does not advance, or readings
        of which none is usable.
        """
        values, factors = self.points.read(readings)
        if not any(np.isfinite(v).any() for v in values.values()):
            return None
        dt_s = at_s - self.at_s if self.at_s is not None else np.inf
        if -MAX_GAP_S < dt_s <= 0:
            return None
        why = "" if 0 < dt_s <= MAX_GAP_S else self._why(dt_s)
        if why:
            self._restart(values)
            dt_s = self.step_s
        self._sense(dt_s if not why else 0.0, values, factors, fresh=bool(why))
        self._advance(dt_s, values)
        self.at_s = at_s
        result = Update(at_s, dt_s, why)
        self._compare(result, values, factors)
        self._gaps(result, values)
        self._correct(dt_s, values)
        self._free(at_s, restarted=bool(why))
        series, levels = self.watch.series(values, self.filters, self.blocks, self.shown)
        if self.maintenance.collect(at_s, series, self.watch.load(values), levels):
            result.findings = self.watch.sifted(self.maintenance.findings())
        return result

    def live(self) -> tuple[Twin, TwinState, Drive]:
        """Twin with the estimated parameters, state and drive: one member, the caller's own."""
        return self.ensemble.nominal()

    def estimates(self) -> list[Estimate]:
        """Every estimated parameter with its uncertainty."""
        found = []
        for block in self.blocks:
            local = self.filters[block.kind]
            sigma = local.theta_sigma
            for column, unknown in enumerate(block.unknowns):
                for row, tag in enumerate(self.site.tags(block.kind)):
                    own = float(sigma[row, column])
                    found.append(
                        Estimate(
                            tag,
                            unknown.name,
                            unknown.meaning,
                            float(local.theta[row, column]),
                            own,
                            unknown.value,
                            own < 0.9 * unknown.sigma,
                        )
                    )
        return found

    # -- storing ----------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that a restart needs; the state itself begins anew from a snapshot."""
        arrays = {
            f"filter/{kind}/{name}": value
            for kind, local in self.filters.items()
            for name, value in local.to_arrays().items()
        }
        for name, value in self.maintenance.to_arrays().items():
            arrays[f"maintenance/{name}"] = value
        return arrays

    def put(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """Take over what was stored; returns what did not fit (the data list changed) and is
        learnt anew.
        """
        problems = []
        for kind, local in self.filters.items():
            try:
                local.put({n: arrays[f"filter/{kind}/{n}"] for n in local.to_arrays()})
            except (KeyError, ValueError) as error:
                problems.append(f"{kind}: {error}")
        own = self.maintenance.to_arrays()
        try:
            self.maintenance.put({n: arrays[f"maintenance/{n}"] for n in own})
        except (KeyError, ValueError) as error:
            problems.append(f"maintenance: {error}")
        self.ensemble.put_estimates(self._thetas())
        return problems

    # -- steps ------------------------------------------------------------------------------

    def _why(self, dt_s: float) -> str:
        if self.at_s is None:
            return "first snapshot"
        return f"{dt_s:.0f} s without a snapshot" if dt_s > 0 else "the clock went back"

    def _restart(self, values: dict[Key, Floats]) -> None:
        flat = {
            tag: float(value)
            for key, column in self.points.columns.items()
            for tag, value in zip(column.tags, values[key], strict=True)
            if tag and np.isfinite(value)
        }
        twin, _, _ = self.ensemble.nominal()
        state, drive = twin.observe(flat)
        self.inputs.apply(twin, state, drive, values)
        self.ensemble.begin(state, drive)
        self.ensemble.put_estimates(self._thetas())
        predicted = self.ensemble.twin.values(self.ensemble.state, self.ensemble.drive)
        self.shown = {key: predicted[key].copy() for key in self.keys}
        self.free_from = None

    def _sense(
        self, dt_s: float, values: dict[Key, Floats], factors: dict[Key, Floats], *, fresh: bool
    ) -> None:
        if not self.slow:
            return
        if fresh:
            self.sensors.restart(np.ones(len(self.sensors.mean), dtype=bool))
        seen = np.concatenate([values[key] for key in self.slow])
        flags = np.where(np.concatenate([factors[key] for key in self.slow]) > 1.0, 3, 1)
        self.sensors.update(dt_s, seen, flags)

    def _advance(self, dt_s: float, values: dict[Key, Floats]) -> None:
        ensemble = self.ensemble
        self.inputs.apply(ensemble.twin, ensemble.state, ensemble.drive, values)
        ensemble.put_estimates(self._thetas())
        steps = max(1, round(dt_s / self.step_s))
        for _ in range(steps):
            ensemble.advance(dt_s / steps)
            true = ensemble.twin.values(ensemble.state, ensemble.drive)
            for key in self.keys:
                self.shown[key] = lagged(self.shown[key], true[key], dt_s / steps, self._tau[key])

    def _compare(
        self, result: Update, values: dict[Key, Floats], factors: dict[Key, Floats]
    ) -> None:
        number = 0
        for block in self.blocks:
            local = self.filters[block.kind]
            keys = [(block.kind, f.quantity) for f in block.followed]
            measured = np.stack([self._judged(key, values) for key in keys], axis=1)
            predicted = np.stack([self.shown[key][0] for key in keys], axis=1)
            sensitivity = np.zeros((*measured.shape, len(block.unknowns)))
            for column in range(len(block.unknowns)):
                for row, key in enumerate(keys):
                    sensitivity[:, row, column] = self.ensemble.sensitivity(number, self.shown[key])
                number += 1
            running = [self.ensemble.running[u.kind, u.name][0] for u in block.unknowns]
            ahead = local.theta - np.stack(running, axis=1) if running else local.theta
            expected = predicted + np.einsum("nmp,np->nm", sensitivity, ahead)
            noise = np.stack([self._noise[key] * factors[key] for key in keys], axis=1)
            offset = local.offset.copy()
            found = local.update(
                result.dt_s, measured - expected, sensitivity, noise, learn=not self.frozen
            )
            shown = expected + offset
            for column, (key, what) in enumerate(zip(keys, block.followed, strict=True)):
                self.step_score.add(".".join(key), measured[:, column], shown[:, column])
                tags = self.points.columns[key].tags
                result.points += [
                    PointResult(
                        tags[row],
                        block.kind,
                        what.unit, float(measured[row, column]),
                        float(shown[row, column]), float(found.residual[row, column]),
                        float(found.sigma[row, column]), float(local.offset[row, column]),
                    )
                    for row in np.nonzero(found.used[:, column])[0]
                    if tags[row]
                ]  # fmt: skip
        if self.free_from is not None and not result.restarted:
            for key in self.keys:
                free = self.shown[key][self.ensemble.free] + self.free_offset[key]
                self.free_score.add(".".join(key), self._judged(key, values), free)

    def _judged(self, key: Key, values: Mapping[Key, Floats]) -> Floats:
        """Without what the twin is told (racks whose power is an input), and without what stands
        still: a stopped unit says nothing of its coil, filter or fan.
        """
        measured = values[key]
        if key == ("rack", "power_w"):
            return np.where(self.inputs.bare_racks, np.nan, measured)
        running = values.get((key[0], "running"))
        if running is not None and key[0] in MACHINES:
            return np.where(running < 0.5, np.nan, measured)
        return measured

    def _gaps(self, result: Update, values: dict[Key, Floats]) -> None:
        gap: Gap = self.sensors.gap()
        spot = 0
        for key in self.slow:
            column = self.points.columns[key]
            for row, spec in enumerate(column.specs):
                at = spot + row
                if spec is None or not np.isfinite(values[key][row]) or not spec.tau_s:
                    continue
                delay = float(self.sensors.instruments.delay_s[at])
                result.gaps.append(
                    GapResult(
                        spec.tag,
                        spec.unit,
                        spec.tau_s,
                        delay,
                        float(values[key][row]),
                        float(gap.value[at]),
                        float(gap.slope[at]),
                        float(gap.gap[at]),
                        float(gap.sigma[at]),
                    )
                )
            spot += len(column.specs)

    def _correct(self, dt_s: float, values: dict[Key, Floats]) -> None:
        """Draw the state to the measured values, offsets taken off, over ``NUDGE_S``."""
        if self.frozen:
            return
        target = self.ensemble.one(0)
        seen: dict[Key, Floats] = {}
        for block in self.blocks:
            offset = self.filters[block.kind].offset
            for column, what in enumerate(block.followed):
                key = (block.kind, what.quantity)
                seen[key] = (values[key] - offset[:, column])[None]
        for name in ("thermal", "power", "gpu", "network"):
            getattr(self.ensemble.twin, name).observe(getattr(target, name), seen)
        self.ensemble.correct(target, 1.0 - float(np.exp(-dt_s / NUDGE_S)))

    def _free(self, at_s: float, *, restarted: bool) -> None:
        if restarted or self.free_from is None or at_s - self.free_from >= FREE_S:
            self.ensemble.release()
            self.free_from = at_s
            for shown in self.shown.values():
                shown[self.ensemble.free] = shown[0]
            self.free_offset = {
                (b.kind, f.quantity): self.filters[b.kind].offset[:, column].copy()
                for b in self.blocks
                for column, f in enumerate(b.followed)
            }

    def _thetas(self) -> dict[tuple[str, str], Floats]:
        return {
            (u.kind, u.name): self.filters[b.kind].theta[:, column]
            for b in self.blocks
            for column, u in enumerate(b.unknowns)
        }
