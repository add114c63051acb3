"""Draws a conclusion again from its record, without database, twin or model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from approvals.agent.look import look
from approvals.agent.occasion import Occasion
from approvals.agent.world import DivergedError, RecordedWorld


class RecordError(Exception):
    """An investigation that has no record to draw from."""


def replay(record: Mapping[str, Any]) -> list[str]:
    """What differs between the stored verdict and the one drawn again; empty: nothing.

    Raises RecordError for a record without answers or without a verdict (a look that failed, or one
    from before records were kept).
    """
    if not record.get("answers") or not record.get("verdict"):
        raise RecordError("the investigation has no complete record: it failed, or it is too old")
    world = RecordedWorld(record)
    try:
        drawn = look(Occasion.from_dict(record["occasion"]), world)
    except DivergedError as error:
        return [str(error)]
    found = differences(record["verdict"], _plain(drawn.as_dict()))
    if world.left:
        found.append(f"the record also has answers that were not asked for: {world.left}")
    return found


def differences(stored: Any, drawn: Any, where: str = "") -> list[str]:
    """Places at which two JSON values differ, e.g. `.hypotheses[0].likelihood: 0.9, drawn 0.8`."""
    if isinstance(stored, dict) and isinstance(drawn, dict):
        found = []
        for name in sorted(stored.keys() | drawn.keys()):
            if name not in stored and not drawn[name]:
                continue  # a record from before there was such a thing to tell
            found += differences(stored.get(name), drawn.get(name), f"{where}.{name}")
        return found
    if isinstance(stored, list) and isinstance(drawn, list) and len(stored) == len(drawn):
        return [
            found
            for place, (a, b) in enumerate(zip(stored, drawn, strict=True))
            for found in differences(a, b, f"{where}[{place}]")
        ]
    return [] if stored == drawn else [f"{where or 'verdict'}: {stored!r}, drawn again {drawn!r}"]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False))
