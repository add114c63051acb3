"""What `_execution.html` needs."""

from __future__ import annotations

from typing import Any

from django import template

from approvals.execution_view import ExecutionView, execution_view

register = template.Library()


@register.simple_tag
def execution_of(card: Any) -> ExecutionView:
    """The execution of a card's proposal, as the page draws it."""
    return execution_view(proposal=card.proposal, execution=card.execution)
