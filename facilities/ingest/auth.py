"""Whose token this is: every source in the process, read again at most a second later.

A known token costs a dictionary look-up and no query; an unknown one costs a dictionary look-up
too, so strangers cannot make the database work. A token that was revoked, expired or limited
stops within ``FRESH_S``; one that was issued a moment ago works at once (its first request waits
for the next reading of the table).
"""

from __future__ import annotations

import ipaddress
import threading
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

from facilities.ingest.errors import IngestError
from facilities.models import Source
from facilities.services.sources import token_hash

FRESH_S: Final = 1.0
"""Longest time that a change to a source goes unnoticed."""

RECHECK_S: Final = 0.25
"""Shortest time between two readings of the table that unknown tokens cause."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Sender(NamedTuple):
    """A source as ingestion sees it."""

    source_id: int
    name: str
    active: bool = True
    expires_at: datetime | None = None
    networks: tuple[Network, ...] = ()
    max_readings_per_s: float | None = None
    auto_register: bool = False


class Senders:
    """The sources by the hash of their token, as read ``read_at`` (monotonic seconds)."""

    def __init__(self) -> None:
        self._by_hash: dict[str, Sender] = {}
        self._lock = threading.Lock()
        self.read_at = float("-inf")

    def find(self, token: str) -> Sender | None:
        """The sender as last read, or None. Never asks the database."""
        return self._by_hash.get(token_hash(token))

    def needs_reading(self, found: Sender | None) -> bool:
        """Whether the table must be read before ``found`` may be believed."""
        age = time.monotonic() - self.read_at
        return age > FRESH_S or (found is None and age > RECHECK_S)

    def read(self, *, not_before: float = float("inf")) -> None:
        """Read the table, unless another thread has done so after ``not_before``. One query.

        Raises ``django.db.OperationalError`` when the database is away.
        """
        with self._lock:
            if self.read_at > not_before:
                return
            began = time.monotonic()
            self._by_hash = {
                hashed: Sender(pk, name, active, expires, _networks(networks), limit, register)
                for hashed, pk, name, active, expires, networks, limit, register in (
                    Source.objects.values_list(
                        "token_hash",
                        "pk",
                        "name",
                        "active",
                        "expires_at",
                        "allowed_networks",
                        "max_readings_per_s",
                        "auto_register",
                    )
                )
            }
            self.read_at = began

    def forget(self) -> None:
        """Read the table again at the next use."""
        self.read_at = float("-inf")


senders = Senders()


def check(sender: Sender | None, *, token: str, address: str | None) -> Sender:
    """Return the sender if it may push from this address now.

    Raises ``IngestError``: 401 for a missing, unknown, switched off or expired token, 403 for an
    address outside the source's networks.
    """
    if not token:
        raise IngestError(
            401, "bad_token", "send Authorization: Token <source token> (or Bearer <source token>)"
        )
    if sender is None:
        raise IngestError(401, "bad_token", "no source has this token; create_source makes one")
    if not sender.active:
        raise IngestError(401, "bad_token", f"source {sender.name} is switched off")
    if sender.expires_at is not None and sender.expires_at <= datetime.now(UTC):
        raise IngestError(
            401, "bad_token", f"the token of source {sender.name} expired on {sender.expires_at}"
        )
    if sender.networks and not _is_inside(address, sender.networks):
        raise IngestError(
            403,
            "bad_network",
            f"source {sender.name} may not push from {address or 'an unknown address'}; "
            "its allowed networks are " + ", ".join(map(str, sender.networks)),
        )
    return sender


def authenticate(token: str, *, address: str | None = None) -> Sender:
    """Find and check a sender by asking the database now. One query; raises as ``check``."""
    if token:
        senders.read()
    return check(senders.find(token) if token else None, token=token, address=address)


def _is_inside(address: str | None, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _networks(texts: list[str] | None) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts or ())
