"""One asset is written by one proposal at a time.

A lease belongs to the proposal, not to the worker: it outlives a killed worker and ends with the
execution. Its token counts up with every taking, also with each worker that takes the execution on,
and goes with every order: who remembers the newest token refuses an older worker's order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from approvals.execution.orders import asset_of
from approvals.models import AssetLease, Proposal


class BusyError(Exception):
    """Another proposal writes to one of the assets. Nothing was taken if the caller rolls back."""

    def __init__(self, asset: str, holder: Proposal) -> None:
        super().__init__(asset)
        self.sentence = (
            f"waits for proposal {holder.pk} ({holder.title}, {holder.state}), which has {asset}"
        )
        self.holder = holder.pk


def leased_assets(writes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The assets that these writes need a lease of, sorted. Orders that set no point need none."""
    return sorted({asset_of(write["tag"]) for write in writes if write.get("body") is None})


def leases_take(*, proposal: Proposal, assets: Iterable[str]) -> None:
    """Take the leases, in the order of their tags, in the caller's transaction.

    Raises BusyError; the caller then rolls back.
    """
    wanted = sorted(set(assets))
    AssetLease.objects.bulk_create([AssetLease(asset=a) for a in wanted], ignore_conflicts=True)
    for asset in wanted:
        free = Q(holder=None) | Q(holder=proposal)
        taken = AssetLease.objects.filter(free, asset=asset).update(
            holder=proposal, taken_at=timezone.now(), token=_next()
        )
        if taken != 1:
            lease = AssetLease.objects.select_related("holder").get(asset=asset)
            raise BusyError(asset, lease.holder or proposal)


def leases_renew(*, proposal: Proposal) -> dict[str, int]:
    """Count up the tokens of what the proposal holds: from now on an older worker's are stale."""
    held = AssetLease.objects.filter(holder=proposal)
    held.order_by("asset").update(token=_next())
    return dict(held.values_list("asset", "token"))


def leases_release(*, proposal: Proposal) -> None:
    """Give back whatever the proposal holds."""
    AssetLease.objects.filter(holder=proposal).update(holder=None)


def _next() -> Greatest:
    """The next token: counts up, and is never below the clock in ms, so that a restored database
    does not start again below what the plant has seen."""
    return Greatest(F("token") + 1, Value(time.time_ns() // 1_000_000))
