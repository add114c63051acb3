"""What changes when during a simulated time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .drive import DRIVES, Drive
from .site import Floats, Site, SiteError


@dataclass(frozen=True, slots=True)
class Change:
    """One drive of one asset takes ``value`` at ``at_s`` seconds, at once or over ``ramp_s``.

    ``asset`` is a tag, or ``site`` for the weather. ``variant`` names the member group it applies
    to; None: all of them.
    """

    at_s: float
    asset: str
    quantity: str
    value: float
    ramp_s: float = 0.0
    variant: int | None = None


class Schedule:
    """Changes in order of time, applied to a drive as the time passes."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.changes = tuple(sorted(changes, key=lambda change: change.at_s))

    def check(self, site: Site) -> None:
        """Raises ``SiteError`` for an asset or a drive that does not exist, or a negative time."""
        for change in self.changes:
            kind = "site" if change.asset == "site" else site.locate(change.asset).kind
            if (kind, change.quantity) not in DRIVES:
                known = sorted(quantity for of, quantity in DRIVES if of == kind)
                raise SiteError(
                    f"{change.asset} is a {kind}: it has no drive {change.quantity}; "
                    f"known: {', '.join(known) or 'none'}"
                )
            if change.at_s < 0 or change.ramp_s < 0:
                raise SiteError(f"{change.asset}.{change.quantity}: times must not be negative")

    def follow(self, drive: Drive, *, variants: int = 1) -> Follower:
        """Applies the changes to ``drive`` as the time passes.

        The members of the drive are ``variants`` groups of equal size, one after another.
        """
        return Follower(self.changes, drive, variants)


class Follower:
    """Moves a drive along a schedule; call ``advance`` before each step, times never go back."""

    def __init__(self, changes: tuple[Change, ...], drive: Drive, variants: int) -> None:
        self._waiting = list(reversed(changes))
        self._moving: list[tuple[Change, slice, float]] = []
        self._drive = drive
        self._size = drive.members // variants

    def advance(self, time_s: float) -> bool:
        """Apply what is due at ``time_s``; return whether the drive changed."""
        while self._waiting and self._waiting[-1].at_s <= time_s:
            change = self._waiting.pop()
            members = slice(None)
            if change.variant is not None:
                members = slice(change.variant * self._size, (change.variant + 1) * self._size)
            before = float(self._column(change)[members][0])
            self._moving.append((change, members, before))
        still: list[tuple[Change, slice, float]] = []
        for change, members, before in self._moving:
            share = 1.0 if change.ramp_s <= 0 else (time_s - change.at_s) / change.ramp_s
            share = min(share, 1.0)
            start = before if share < 1.0 else change.value
            self._column(change)[members] = start + (change.value - start) * share
            if share < 1.0:
                still.append((change, members, before))
        changed = bool(self._moving)
        self._moving = still
        return changed

    def _column(self, change: Change) -> Floats:
        kind, index = (
            ("site", 0) if change.asset == "site" else self._drive.site.locate(change.asset)
        )
        return self._drive[kind, change.quantity][:, index]
