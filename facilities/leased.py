"""Work that one process does at a time: a row with a lease, and the thread that holds it.

Beat asks every worker to ``keep`` the work going. The process that wins the lease starts a thread
and renews it; when that process dies the lease runs out and another one starts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from django.db import connection
from django.db.models import Model, Q
from django.utils import timezone

log = logging.getLogger(__name__)


class Leased(Protocol):
    """What a ``Keeper`` runs."""

    def claim(self) -> bool:
        """Take or renew the lease; False when another process holds it."""

    def run(self, stop: threading.Event) -> None:
        """Work until stopped or until the lease is lost; gives the lease back."""


class Lease:
    """The lease on row 1 of a model with ``owner`` and ``lease_until``."""

    def __init__(self, model: type[Model], *, owner: str, duration: timedelta) -> None:
        self._rows = model._default_manager
        self._owner = owner
        self._duration = duration

    def claim(self, *, now: datetime | None = None) -> bool:
        """Take or renew it by a conditional update; False when another owner holds it."""
        now = now or timezone.now()
        self._rows.get_or_create(pk=1)
        free = Q(owner=self._owner) | Q(lease_until=None) | Q(lease_until__lt=now)
        claimed = self._rows.filter(free, pk=1)
        return claimed.update(owner=self._owner, lease_until=now + self._duration) == 1

    def release(self) -> None:
        """Give it back."""
        self._rows.filter(pk=1, owner=self._owner).update(lease_until=None)


class Keeper:
    """Keeps the work going in this process, where this process holds the lease."""

    def __init__(self, name: str, make: Callable[[], Leased]) -> None:
        self._name = name
        self._make = make
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self) -> bool:
        """Start the work unless it runs somewhere. Returns whether it runs in this process."""
        with self._guard:
            if self._thread is not None and self._thread.is_alive():
                return True
            worker = self._make()
            if not worker.claim():
                return False
            self._thread = threading.Thread(
                target=self._run, args=(worker,), name=self._name, daemon=True
            )
            self._thread.start()
            return True

    def _run(self, worker: Leased) -> None:
        try:
            worker.run(threading.Event())
        except Exception:
            log.exception("%s stopped; beat starts it again", self._name)
        finally:
            connection.close()
