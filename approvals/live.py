"""Pushes to browsers: after the commit, best effort. A page that missed one reloads."""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from approvals.states import ProposalState

log = logging.getLogger(__name__)

GROUP = "approvals"


def push_proposal(*, proposal_id: int, event: str) -> None:
    """Tell every open approvals page, once the caller's transaction has committed.

    A proposal that is being made is no news before it waits for people.
    """
    if event in (ProposalState.DRAFT, ProposalState.SIMULATED):
        return
    transaction.on_commit(
        lambda: _tell({"type": "approvals.proposal", "event": event, "id": proposal_id})
    )


def push_investigation(*, investigation_id: int, event: str) -> None:
    """Tell every open approvals page what the agent is doing."""
    transaction.on_commit(
        lambda: _tell({"type": "approvals.investigation", "event": event, "id": investigation_id})
    )


def push_gate(*, event: str) -> None:
    """Tell every open approvals page that the gate was `held` or `resumed`."""
    transaction.on_commit(lambda: _tell({"type": "approvals.gate", "event": event}))


def _tell(message: dict[str, Any]) -> None:
    _send(message)


def group_of(user_id: int) -> str:
    """The group of one person's pages."""
    return f"{GROUP}-user-{user_id}"


def push_notice(*, user_id: int | None, notice: dict[str, Any]) -> str:
    """Show a note on one person's open pages, or on everybody's. Sent at once.

    Returns what was wrong, "" when nothing was. That nobody has a page open is nothing wrong.
    """
    group = GROUP if user_id is None else group_of(user_id)
    return _send({"type": "approvals.notice", "notice": notice}, group=group)


def _send(message: dict[str, Any], *, group: str = GROUP) -> str:
    layer = get_channel_layer()
    if layer is None:
        return "there is no channel layer"
    try:
        async_to_sync(layer.group_send)(group, message)
    except Exception as error:  # Redis being down must not undo or block a decision
        log.warning("live push of %s failed: %s", message.get("type"), error)
        return f"{type(error).__name__}: {error}"
    return ""
