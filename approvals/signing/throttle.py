"""Guessing passwords at the log-in: closed after some failures, counted from the audit trail like the
proofs of identity (`proof.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from approvals.canonical import storable
from approvals.models import AuditEntry

WITHIN: Final = timedelta(minutes=15)
FROM_ONE_PLACE: Final = 8
"""Failures for a name from one address (assumed: a person who knows the password needs fewer)."""
FROM_EVERYWHERE: Final = 60
"""Failures for a name from all addresses: far above, so that a stranger elsewhere does not lock the
operator out with a handful of requests (assumed)."""
CLOSED: Final = "login_closed_until"


class Throttle:
    """First of the authentication backends: knows nobody, and stops the others while a name is
    closed. It has no `get_user`: no session is ever its.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **_: Any
    ) -> None:
        """None: go on with the next backend. Raises PermissionDenied, and leaves the time on the
        request."""
        if request is None or not username:
            return
        until = login_closed_until(name=username, address=str(request.META.get("REMOTE_ADDR", "")))
        if until is not None:
            setattr(request, CLOSED, until)
            raise PermissionDenied


def login_closed_until(*, name: str, address: str) -> datetime | None:
    """When this name may be tried again from this address; None: now.

    Counted from the last log-in that succeeded there.
    """
    since = timezone.now() - WITHIN
    tried = AuditEntry.objects.filter(
        actor=storable(name)[:150], event__in=("login.failed", "login.succeeded"), at__gt=since
    ).order_by("-seq")[: 2 * FROM_EVERYWHERE]
    here: list[datetime] = []
    everywhere: list[datetime] = []
    still = True
    for event, payload, at in tried.values_list("event", "payload", "at"):
        same = payload.get("address") == address
        if event == "login.succeeded":
            still = still and not same
            continue
        everywhere.append(at)
        if same and still:
            here.append(at)
    ends = [
        found[most - 1] + WITHIN
        for found, most in ((here, FROM_ONE_PLACE), (everywhere, FROM_EVERYWHERE))
        if len(found) >= most
    ]
    return max(ends, default=None)
