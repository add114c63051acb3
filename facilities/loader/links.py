"""What a link may say of itself; the requirements board reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "medium": ("copper", "optic", "wireless"),
    "layer": ("l2", "l3"),
}
FLAGS: Final = ("private", "management")


def link_problems(attributes: Mapping[str, Any]) -> list[str]:
    """Sentences about known attributes with impossible values; other names are free."""
    problems = []
    for name, choices in CHOICES.items():
        value = attributes.get(name)
        if value is not None and str(value).lower() not in choices:
            problems.append(f"{name} {value!r} is not one of {', '.join(choices)}")
    for name in FLAGS:
        value = attributes.get(name)
        if value is not None and not isinstance(value, bool):
            problems.append(f"{name} must be true or false, not {value!r}")
    capacity = attributes.get("capacity_gbps")
    if capacity is not None and (
        isinstance(capacity, bool) or not isinstance(capacity, int | float) or not capacity > 0
    ):
        problems.append(f"capacity_gbps must be a number above 0, not {capacity!r}")
    return problems
