"""Sources and their tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from facilities.models import Source


class SourceExists(Exception):
    """A source of this name exists already."""


class IssuedToken(NamedTuple):
    """A source with its token in clear: the only moment at which it can be read."""

    source: Source
    token: str


def token_hash(token: str) -> str:
    """SHA-256 of a token. Tokens hold 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _new_token() -> str:
    return f"hp_{secrets.token_urlsafe(32)}"


@transaction.atomic
def source_create(
    *, name: str, expires_at: datetime | None = None, rotate: bool = False
) -> IssuedToken:
    """Create a source, or with ``rotate`` give an existing one a new token.

    Raises ``SourceExists`` when the name is taken and ``rotate`` is false.
    """
    token = _new_token()
    source = Source.objects.select_for_update().filter(name=name).first()
    if source is not None and not rotate:
        raise SourceExists(f"source {name} exists; rotate its token, or choose another name")
    source = source or Source(name=name, expires_at=expires_at)
    source.token_hash, source.token_prefix = token_hash(token), token[:8]
    if rotate and expires_at is not None:
        source.expires_at = expires_at
    source.full_clean()
    source.save()
    return IssuedToken(source, token)
