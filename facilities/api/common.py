"""What the read endpoints share: pages, query parameters, refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class Pages(PageNumberPagination):
    """Pages of 100, at most 1,000 by ``?page_size=``."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1_000


def refuse(name: str, detail: str) -> ValidationError:
    """Build a 400 about one query parameter."""
    return ValidationError({name: [detail]})


def choice(request: Request, name: str, choices: Any) -> str:
    """Return a query parameter that must be one of ``choices``, or an empty string."""
    value = request.query_params.get(name, "")
    if value and value not in choices:
        raise refuse(name, f"{value[:60]!r} is not one of {', '.join(choices)}")
    return value


def text(request: Request, name: str) -> str:
    """Return a query parameter without NUL, which PostgreSQL does not take."""
    value = request.query_params.get(name, "").strip()
    if "\0" in value:
        raise refuse(name, "has a NUL character")
    return value


def flag(request: Request, name: str) -> bool | None:
    """Return a query parameter true/false (1/0), or None when absent."""
    value = request.query_params.get(name, "").lower()
    if value in ("", "1", "true", "0", "false"):
        return None if not value else value in ("1", "true")
    raise refuse(name, f"{value[:60]!r} is neither true nor false")


def moment(request: Request, name: str, default: datetime) -> datetime:
    """Return a query parameter as a time: ISO 8601 with zone, or epoch seconds."""
    value = request.query_params.get(name, "")
    if not value:
        return default
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        # A + of an unescaped URL arrives as a space.
        found = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
    except ValueError:
        raise refuse(
            name, f"{value[:60]!r} is not a time such as 2026-03-01T12:00:00Z or epoch seconds"
        ) from None
    if found.tzinfo is None:
        raise refuse(name, f"{value[:60]!r} has no time zone; add Z or +01:00")
    return found


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a query parameter as a whole number within limits."""
    value = request.query_params.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not low <= int(value[:9]) <= high:
        raise refuse(name, f"{value[:60]!r} is not a whole number from {low} to {high}")
    return int(value[:9])
