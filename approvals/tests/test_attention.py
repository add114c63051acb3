"""What is under way and waits for a person stands with what needs them, not among what runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from approvals import execution
from approvals.cards import NEEDS_YOU, UNDER_WAY, card_for
from approvals.drivers.base import DriverError
from approvals.execution import run
from approvals.queue import queue_groups
from approvals.selectors import proposals
from approvals.templatetags.gate import procedure_words
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import fans, made, signed
from approvals.tests.test_procedure_run import procedure, step

pytestmark = pytest.mark.django_db


def _needs(user: Any) -> list[int]:
    [needs, *_], _ = queue_groups(user=user)
    return [card.proposal.pk for card in needs.cards]


def test_it_asks_those_who_may_release_a_hold_until_it_is_released(
    operator: Any, viewer: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = signed(procedure(step("1", fans(71.0)), step("2", hold="operator")), operator)
    execution.execute(proposal_id=proposal.pk)
    row = proposals().get(pk=proposal.pk)
    card = card_for(proposal=row, user=operator)
    assert card.group == NEEDS_YOU
    assert card.attention is not None
    assert card.attention.words == "Holds at step 2"
    assert card.ends_at is not None
    assert card.ends_at > timezone.now() > card.began_at
    assert _needs(operator) == [proposal.pk]
    assert _needs(viewer) == []
    html = client_as(operator).get(f"/approvals/{proposal.pk}/card").content.decode()
    assert "data-to-execution" in html
    assert "data-expires" in html
    assert "data-to-execution" not in client_as(viewer).get("/approvals/").content.decode()
    row.execution.holds[0]["released_at"] = row.execution.holds[0]["reached_at"]
    assert card_for(proposal=row, user=operator).group == UNDER_WAY


def test_it_does_not_ask_who_signed_for_a_second_persons_hold(
    operator: Any,
    supervisor: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
) -> None:
    steps = step("1", fans(71.0)), step("2", hold="second_person")
    proposal = signed(procedure(*steps), operator)
    execution.execute(proposal_id=proposal.pk)
    assert _needs(operator) == []
    assert _needs(supervisor) == [proposal.pk]
    release = 'data-act="release"'
    path = f"/approvals/{proposal.pk}/"
    signer = client_as(operator).get(path).content.decode()
    assert release not in signer
    assert "You are part of it already" in signer
    assert release in client_as(supervisor).get(path).content.decode()


def test_it_asks_a_supervisor_what_became_of_an_unknown_write(
    operator: Any,
    supervisor: Any,
    plant: PlantProcess,
    set_values: SetValues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(order: Any, *, obj: str, **_: Any) -> None:
        raise DriverError("no answer", maybe_applied=True)

    monkeypatch.setattr(run, "send", lost)
    proposal = signed(made(fans(89.0)), operator)
    execution.execute(proposal_id=proposal.pk)
    assert _needs(supervisor) == [proposal.pk]
    assert _needs(operator) == []
    row = proposals().get(pk=proposal.pk)
    assert card_for(proposal=row, user=operator).group == UNDER_WAY


def test_it_shows_a_steps_marks_and_nothing_else_of_its_markup() -> None:
    shown = procedure_words("**Verify:** `a.b` < 3 <script>x</script> ** and `")
    assert shown == (
        '<b>Verify:</b> <code class="write">a.b</code> &lt; 3 '
        "&lt;script&gt;x&lt;/script&gt; ** and `"
    )
