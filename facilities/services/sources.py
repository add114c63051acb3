"""Sources and their tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from facilities.models import Source
from facilities.signals import source_token_changed


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
    *,
    name: str,
    expires_at: datetime | None = None,
    rotate: bool = False,
    by: str = "",
    **settings: Any,
) -> IssuedToken:
    """Create a source, or with ``rotate`` give an existing one a new token.

    ``settings``: other fields of ``Source`` (``auto_register``, ``allowed_networks`` …). Raises
    ``SourceExists`` when the name is taken and ``rotate`` is false, ``ValidationError`` for fields
    that contradict the model.
    """
    source = Source.objects.select_for_update().filter(name=name).first()
    if source is not None and not rotate:
        raise SourceExists(f"source {name} exists; rotate its token, or choose another name")
    source = source or Source(name=name, expires_at=expires_at)
    for field, value in settings.items():
        setattr(source, field, value)
    if rotate and expires_at is not None:
        source.expires_at = expires_at
    return _issue(source, by)


@transaction.atomic
def source_rotate(
    *, source_id: int, expires_at: datetime | None = None, by: str = ""
) -> IssuedToken:
    """Give a source a new token; the old one stops within a second. Switches it on.

    ``expires_at`` replaces the old date; None means that the new token does not expire. ``by`` is
    the user's name; "" for the command line.
    """
    source = Source.objects.select_for_update().get(pk=source_id)
    source.expires_at = expires_at
    source.active = True
    return _issue(source, by)


def _issue(source: Source, by: str) -> IssuedToken:
    token, what = _new_token(), "rotated" if source.pk else "issued"
    source.token_hash, source.token_prefix = token_hash(token), token[:8]
    source.full_clean()
    source.save()
    _tell(source, what, by)
    return IssuedToken(source, token)


def _tell(source: Source, what: str, by: str) -> None:
    source_token_changed.send(
        Source,
        name=source.name,
        what=what,
        actor=by,
        facts={
            "token": source.token_prefix,
            "expires_at": source.expires_at.isoformat() if source.expires_at else None,
        },
    )


@transaction.atomic
def source_revoke(*, source_id: int, by: str = "") -> Source:
    """Switch a source off and make its token worthless; it stops within a second."""
    source = Source.objects.select_for_update().get(pk=source_id)
    source.active = False
    source.token_hash, source.token_prefix = token_hash(_new_token()), ""
    source.save(update_fields=["active", "token_hash", "token_prefix"])
    _tell(source, "revoked", by)
    return source


@transaction.atomic
def source_update(*, source_id: int, **settings: Any) -> Source:
    """Change fields of a source. Raises ``ValidationError`` that names what contradicts."""
    source = Source.objects.select_for_update().get(pk=source_id)
    for field, value in settings.items():
        setattr(source, field, value)
    source.full_clean()
    source.save(update_fields=list(settings) or None)
    return source
