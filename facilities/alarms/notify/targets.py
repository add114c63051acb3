"""Where a webhook may go. The server must not be made to call itself or its host's metadata."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Cloud metadata services: AWS, Azure, GCP share the first; AWS IPv6; Alibaba; Azure's wire server."""

ALWAYS_REFUSED: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8")
)
"""Link-local, this-network, multicast: no setting opens these."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(ValueError):
    """The address must not be called; says why and what to do."""


class Target(NamedTuple):
    """A checked address: connect to ``address``, speak as ``host``."""

    scheme: str
    host: str
    port: int
    path: str
    address: str


def check_url(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port, path and query of a webhook address. No look-up. Raises ``Refused``."""
    if any(ord(char) < 33 for char in url):
        raise Refused("the address has spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Refused(f"{url[:80]!r} is not an address: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise Refused(f"{url[:80]!r} starts with neither https:// nor http://")
    if not parts.hostname:
        raise Refused(f"{url[:80]!r} names no host")
    if parts.username or parts.password:
        raise Refused("the address holds a password; webhooks are signed instead")
    _refuse_literal(parts.hostname)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port, path


def resolve(url: str) -> Target:
    """Look the host up and return where to connect. Raises ``Refused``; ``OSError`` when unknown.

    Every address of the name must be allowed, and the connection goes to the address checked here,
    so a name that changes its answer between check and use gains nothing.
    """
    scheme, host, port, path = check_url(url)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(item[4][0]).split("%")[0]) for item in found]
    for address in addresses:
        refuse_address(address, host)
    return Target(scheme, host, port, path, str(addresses[0]))


def _refuse_literal(host: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    refuse_address(address, host)


def refuse_address(address: Address, host: str) -> None:
    """Raise ``Refused`` for an address that must not be called."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            refuse_address(inner, host)
    if address in METADATA or any(address in network for network in ALWAYS_REFUSED):
        raise Refused(f"{host} is {address}, a link-local, metadata or multicast address")
    if not address.is_global and not settings.WEBHOOK_PRIVATE:
        raise Refused(
            f"{host} is {address}, an address of a private network; "
            "OPS_WEBHOOK_PRIVATE=true allows those"
        )
