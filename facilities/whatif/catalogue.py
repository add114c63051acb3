"""The catalogue: named actions, faults and outside changes, and the drives they move.

A new one is one entry of ``actions`` or ``faults``; what it may not exceed comes from ``limits``.
"""

from __future__ import annotations

from typing import Final

from facilities.twin.drive import Drive
from facilities.twin.schedule import Change
from facilities.twin.site import Site

from .actions import ACTIONS
from .entry import Entry, driven
from .faults import FAULTS, OUTSIDE

_ALL: Final = (*ACTIONS, *FAULTS, *OUTSIDE)
ENTRIES: Final[dict[str, Entry]] = {entry.name: entry for entry in _ALL}
"""Every entry by name."""


def entries_for(kind: str) -> list[Entry]:
    """What may be asked of an asset of a kind, in the order of the catalogue."""
    return [entry for entry in _ALL if kind in entry.kinds]


def changes_of(
    entry: Entry,
    site: Site,
    drive: Drive,
    *,
    asset: str,
    value: float,
    at_s: float,
    ramp_s: float | None = None,
) -> list[Change]:
    """The changes of drives that an entry stands for; empty where it has nothing to move.

    ``value`` is in the entry's unit. Raises ``SiteError`` for an unknown asset.
    """
    ramp = entry.ramp_s if ramp_s is None else ramp_s
    made = []
    for (kind, quantity), factor in entry.drives:
        for tag in driven(site, kind, asset):
            to = value * entry.scale * factor
            if entry.relative:
                row = 0 if tag == "site" else site.locate(tag).row
                to += float(drive[kind, quantity][0, row])
            made.append(Change(at_s, tag, quantity, to, ramp))
    return made
