"""One byte sequence for one meaning: the canonical JSON under every digest and audit hash."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any


def canonical_json(value: Any) -> str:
    """Serialise `value` with sorted keys, no spaces, UTF-8 text and one spelling per number.

    Whole floats are written as integers, because jsonb and Python disagree about `1e22` and `1.0`.
    NaN and infinities raise ValueError: they have no JSON spelling, and jsonb refuses them.
    """
    return json.dumps(
        _normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_hex(text: str) -> str:
    """Hex SHA-256 of the UTF-8 bytes of `text` (64 characters)."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(payload: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `payload`."""
    return sha256_hex(canonical_json(payload))


def storable(value: Any) -> Any:
    """`value` with what PostgreSQL's text cannot hold (NUL, lone surrogates) as U+FFFD: words of
    strangers go into the audit trail whatever they are.
    """
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def iso_utc(moment: datetime) -> str:
    """ISO-8601 in UTC with six decimals always, e.g. `2026-03-01T12:00:00.000000Z`.

    Needs an aware datetime.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; canonical times are UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _normal(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} has no canonical JSON form")
        return int(value) if value.is_integer() else value
    if isinstance(value, datetime):
        return iso_utc(value)
    if isinstance(value, dict):
        return {str(key): _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")
