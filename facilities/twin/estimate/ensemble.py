"""The twin run several ways at once: as estimated, with each parameter nudged, and uncorrected.

Member 0 is the estimate. Members 1…k carry one unknown nudged for all its assets, so that their
distance to member 0 is the sensitivity of every prediction to it, with all its dynamics. The last
member runs free for half an hour from frozen parameters and is never corrected: it is judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from facilities.twin.coupled import Parameters, Twin, TwinState
from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site

from .blocks import Unknown

REBUILD: Final = 0.005
"""Parameters of the parts are precomputed: they are renewed once one moved by half a per cent."""


class Ensemble:
    """State and drives of all members, with the parameters they run under."""

    def __init__(
        self,
        site: Site,
        unknowns: Sequence[Unknown],
        base: Parameters,
        state: TwinState,
        drive: Drive,
    ) -> None:
        self.site = site
        self.unknowns = tuple(unknowns)
        self.members = len(self.unknowns) + 2
        self.free = self.members - 1
        self._base = base
        #: By unknown: what the members run under, (members, assets).
        self.running = {
            (u.kind, u.name): np.full((self.members, site.count(u.kind)), u.value)
            for u in self.unknowns
        }
        for number, unknown in enumerate(self.unknowns, start=1):
            self.running[unknown.kind, unknown.name][number] += unknown.nudge
        self.twin = self._built()
        self.begin(state, drive)

    def begin(self, state: TwinState, drive: Drive) -> None:
        """All members from one state, of one member."""
        self.state = state.repeated(self.members)
        self.drive = drive.repeated(self.members)
        self._into_drive()

    def put_estimates(self, estimates: Mapping[tuple[str, str], Floats]) -> None:
        """Run from now on under these parameters, (assets,) each; the free member keeps its own."""
        rebuild = False
        for number, unknown in enumerate(self.unknowns, start=1):
            key = (unknown.kind, unknown.name)
            value, running = estimates[key], self.running[key]
            if unknown.place != "drive":
                moved = np.abs(value - running[0]) > REBUILD * np.maximum(np.abs(running[0]), 0.05)
                if not moved.any():
                    continue
                rebuild = True
            running[: self.free] = value
            running[number] += unknown.nudge
        if rebuild:
            self.twin = self._built()
        self._into_drive()

    def release(self) -> None:
        """Start the free member anew from the present estimate."""
        for running in self.running.values():
            running[self.free] = running[0]
        self.twin = self._built()
        for part in _parts(self.state):
            for field in dataclasses.fields(part):
                value = _own(part, field.name)
                value[self.free] = value[0]
        for values in self.drive.values.values():
            values[self.free] = values[0]

    def advance(self, dt_s: float) -> None:
        """One step of the coupled twin for all members."""
        self.twin.step(self.state, self.drive, dt_s)

    def correct(self, target: TwinState, share: float) -> None:
        """Move all members but the free one by ``share`` of what separates member 0 from
        ``target`` (one member). Equal moves leave the sensitivities as they are.
        """
        for part, other in zip(_parts(self.state), _parts(target), strict=True):
            for field in dataclasses.fields(part):
                value, wanted = _own(part, field.name), getattr(other, field.name)
                if value.dtype.kind == "f":
                    step = share * (wanted[0] - value[0])
                    value[: self.free] += np.where(np.isfinite(step), step, 0.0)

    def nominal(self) -> tuple[Twin, TwinState, Drive]:
        """A twin, state and drive of one member: the estimate. The caller's own."""
        changes = {k: v[:1].copy() for k, v in self.running.items()}
        return Twin(self.site, self._parameters(changes)), self.one(0), self.drive.repeated(1)

    def one(self, member: int) -> TwinState:
        """A copy of one member's state."""
        arrays = {name: v[member : member + 1] for name, v in self.state.to_arrays().items()}
        return TwinState.from_arrays(arrays)

    def sensitivity(self, number: int, predicted: Floats) -> Floats:
        """Change of a prediction, (members, assets), by one unit of the unknown ``number``."""
        return (predicted[number + 1] - predicted[0]) / self.unknowns[number].nudge

    def _into_drive(self) -> None:
        for unknown in self.unknowns:
            if unknown.place == "drive":
                key = (unknown.kind, unknown.name)
                self.drive[key][:] = self.running[key]

    def _built(self) -> Twin:
        return Twin(self.site, self._parameters(self.running))

    def _parameters(self, values: Mapping[tuple[str, str], Floats]) -> Parameters:
        by_part: dict[str, dict[str, Any]] = {}
        for unknown in self.unknowns:
            if unknown.place != "drive":
                value = values[unknown.kind, unknown.name].copy()
                by_part.setdefault(unknown.place, {})[unknown.name] = value
        changed = {
            part: getattr(self._base, part).replaced(**fields) for part, fields in by_part.items()
        }
        return dataclasses.replace(self._base, **changed)


def _parts(state: TwinState) -> list[Any]:
    return [getattr(state, field.name) for field in dataclasses.fields(state)]


def _own(part: Any, name: str) -> np.ndarray:
    """A field's array, made writable: a step may leave a view of something else there."""
    value: np.ndarray = getattr(part, name)
    if not value.flags.writeable:
        value = value.copy()
        setattr(part, name, value)
    return value
