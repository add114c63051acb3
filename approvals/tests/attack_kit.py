"""What attacks on the gate share: REST calls, the states gone through, everything at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection
from django.test import Client

from approvals.models import Proposal
from approvals.tests.conftest import PASSWORD

SignIn = Callable[[Any], Client]
HIGH = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
FULL = {"reason": "row 1 is hot", "password": PASSWORD}


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


def post(client: Client, path: str, body: Any) -> Answer:
    answer = client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")
    return Answer(answer.status_code, answer.json())


def approve(client: Client, proposal: Proposal, **body: Any) -> Answer:
    return post(
        client, f"proposals/{proposal.pk}/approve", {"digest": proposal.digest, **FULL, **body}
    )


def path_of(proposal: Proposal) -> list[str]:
    """The states it went through, by its transition rows; they and the field agree."""
    moves = list(proposal.transitions.order_by("id").values_list("from_state", "to_state"))
    path = ["draft", *(target for _, target in moves)]
    assert [source for source, _ in moves] == path[:-1]
    assert Proposal.objects.get(pk=proposal.pk).state == path[-1]
    return path[3:]


def at_once(*acts: Callable[[], Answer]) -> list[Answer]:
    """Everything at the same moment, each on a connection of its own."""
    start, answers, errors = threading.Barrier(len(acts)), [], []

    def run(act: Callable[[], Answer]) -> None:
        try:
            start.wait(30)
            answers.append(act())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(answers) == len(acts)
    return answers
