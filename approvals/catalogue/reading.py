"""Turns JSON that its schema has accepted into an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from approvals.catalogue.base import Action


def action_read(
    kind: str, target: str, params: Mapping[str, Any], schema: Mapping[str, Any]
) -> Action:
    """An action of parameters that fit `schema`; what is a number there becomes a float.

    So `85` and `85.0` are the same action with the same digest.
    """
    properties = schema.get("properties", {})
    return Action(
        kind,
        target,
        {
            name: float(value) if properties.get(name, {}).get("type") == "number" else value
            for name, value in params.items()
        },
    )
