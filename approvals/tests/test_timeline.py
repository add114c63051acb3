"""Decisions on the timeline of the hall map."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.services import proposal_approve, proposal_reject
from approvals.tests.conftest import MakeProposal
from approvals.timeline import events
from facilities.hallmap.events import happenings
from facilities.models import Hall

pytestmark = pytest.mark.django_db


def test_it_tells_the_hall_map_what_was_signed_and_by_whom(
    make_proposal: MakeProposal, operator: Any, django_assert_num_queries: Any
) -> None:
    start = timezone.now()
    proposal = make_proposal()
    proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
    end = timezone.now()
    with django_assert_num_queries(2):
        (event,) = events(start, end)
    assert (event.kind, event.asset, event.tone) == ("approved", proposal.target, "ok")
    assert event.text == f"{proposal.title}: approved by operator"
    assert event.href == f"/approvals/{proposal.pk}/"
    hall = Hall.objects.get(slug="hall-1")
    found = happenings(hall_id=hall.pk, start=start, end=end).events
    assert event in found
    assert list(events(start - timedelta(hours=1), start)) == []


def test_it_tells_of_a_refusal(make_proposal: MakeProposal, operator: Any) -> None:
    start = timezone.now()
    proposal = make_proposal()
    proposal_reject(proposal_id=proposal.pk, user=operator, reason="not now")
    (event,) = events(start, timezone.now())
    assert (event.kind, event.tone) == ("rejected", "high")
