"""JSON schemas of parameters, with the limits and units of the points they go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from approvals.catalogue.situation import Situation

NO_PARAMS: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}


def number_schema(*, name: str, tag: str, situation: Situation, description: str) -> dict[str, Any]:
    """Schema with one required number whose limits and unit are those of point `tag`.

    Raises KeyError with the tag when the point cannot be written.
    """
    limits = situation.limits[tag]
    return object_schema(
        {
            name: {
                "type": "number",
                "minimum": limits.low,
                "maximum": limits.high,
                "description": description,
                "x-unit": limits.unit,
                "x-point": tag,
            }
        }
    )


def command_schema(*, tag: str, situation: Situation) -> dict[str, Any]:
    """Schema without parameters. Raises KeyError with the tag when the point cannot be written."""
    situation.limits[tag]
    return NO_PARAMS


def object_schema(
    properties: Mapping[str, Any], *, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": dict(properties),
    }
