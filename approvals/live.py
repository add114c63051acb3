"""Pushes to browsers: after the commit, best effort. A page that missed one reloads."""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

GROUP = "approvals"


def push_proposal(*, proposal_id: int, event: str) -> None:
    """Tell every open approvals page, once the caller's transaction has committed."""
    transaction.on_commit(
        lambda: _send({"type": "approvals.proposal", "event": event, "id": proposal_id})
    )


def push_investigation(*, investigation_id: int, event: str) -> None:
    """Tell every open approvals page what the agent is doing."""
    transaction.on_commit(
        lambda: _send({"type": "approvals.investigation", "event": event, "id": investigation_id})
    )


def _send(message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, message)
    except Exception as error:  # Redis being down must not undo or block a decision
        log.warning("live push of %s failed: %s", message.get("type"), error)
