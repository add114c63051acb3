"""Telling people over a real HTTP server, a real SMTP server and the real Redis layer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import transaction
from django.test import Client
from django.utils import timezone

from approvals.models import AuditEntry, Delivery, NotificationRule
from approvals.notify import deliver, moves, notify, rules
from approvals.notify.events import EVENTS
from approvals.services import proposal_move, proposal_reject
from approvals.states import ProposalState
from approvals.tests.conftest import MakeProposal
from ops_platform.config import Smtp

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Receiver:
    """A web server that keeps what it gets and answers as it is told."""

    url: str = ""
    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_PRIVATE = True
    settings.DRIVER_SECRETS = {"chat": SECRET, "bad": "whsec_not base64!"}
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refusal = ""

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.SMTP = Smtp("127.0.0.1", port)
    settings.PUBLIC_URL = "https://gate.example"
    yield box
    controller.stop()


def webhook(receiver: Receiver, supervisor: Any, **more: Any) -> NotificationRule:
    wanted = {"channel": "webhook", "events": list(EVENTS), "secret_name": "chat", **more}
    return rules.rule_add(user=supervisor, address=receiver.url, **wanted)


def test_it_signs_a_webhook_and_sends_it_once(
    receiver: Receiver, make_proposal: MakeProposal, supervisor: Any
) -> None:
    rule = webhook(receiver, supervisor)
    proposal = make_proposal()
    assert deliver.deliver_due() == 1
    assert deliver.deliver_due() == 0
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert (told["type"], told["proposal"]["id"]) == ("proposal.pending", proposal.pk)
    assert told["proposal"]["digest"] == proposal.digest
    key, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    mac = hmac.new(b"k" * 32, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    read = AuditEntry.objects.get(event="secret.read")
    assert (read.actor, read.payload["secret"]) == ("notifier", "chat")
    assert SECRET not in json.dumps(list(AuditEntry.objects.values_list("payload", flat=True)))
    assert Delivery.objects.get(rule=rule).state == "sent"


def test_it_retries_with_growing_pauses_and_one_key_until_it_gives_up(
    receiver: Receiver, make_proposal: MakeProposal, supervisor: Any
) -> None:
    receiver.status = 503
    webhook(receiver, supervisor)
    make_proposal()
    row, now, pauses = Delivery.objects.get(), timezone.now(), []
    while row.state == "waiting":
        assert deliver.deliver(delivery_id=row.pk, now=now)
        assert not deliver.deliver(delivery_id=row.pk, now=now)
        row.refresh_from_db()
        pauses.append((row.next_at - now).total_seconds())
        now = max(row.next_at, now) + timedelta(milliseconds=1)
    assert (row.state, row.attempts) == ("failed", deliver.MAX_ATTEMPTS)
    assert row.error == "503"
    for pause, expected in zip(pauses[:4], (5, 10, 20, 40), strict=True):
        assert 0.8 * expected <= pause <= 1.2 * expected
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert AuditEntry.objects.filter(event="secret.read").count() == 1
    again = rules.delivery_resend(delivery_id=row.pk, user=supervisor)
    receiver.status = 200
    assert deliver.deliver_due() == 1
    again.refresh_from_db()
    assert again.state == "sent"
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secret_name": "bad"}, "cannot sign"),
        ({"secret_name": "gone"}, "OPS_DRIVER_SECRETS"),
        ({"address": "http://169.254.169.254/latest/"}, "refused"),
    ],
)
def test_it_gives_up_at_once_on_what_no_repeat_mends(
    receiver: Receiver, make_proposal: MakeProposal, supervisor: Any, change: Any, said: str
) -> None:
    rule = webhook(receiver, supervisor)
    NotificationRule.objects.filter(pk=rule.pk).update(**change)
    make_proposal()
    deliver.deliver_due()
    row = Delivery.objects.get()
    assert (row.state, row.attempts) == ("failed", 1)
    assert said in row.error
    assert receiver.got == []


def test_it_comes_back_to_what_a_killed_worker_held(
    receiver: Receiver, make_proposal: MakeProposal, supervisor: Any
) -> None:
    webhook(receiver, supervisor)
    make_proposal()
    now = timezone.now()
    Delivery.objects.update(attempts=1, next_at=now + deliver.LEASE)
    assert deliver.deliver_due(now=now) == 0
    assert deliver.deliver_due(now=now + deliver.LEASE) == 1
    assert Delivery.objects.get().state == "sent"


@pytest.mark.parametrize(
    "address",
    ["ftp://x.example/", "http://169.254.169.254/", "https://u:p@x.example/", "http://[fe80::1]/"],
)
def test_it_takes_no_webhook_address_that_the_server_must_not_call(
    address: str, supervisor: Any
) -> None:
    with pytest.raises(rules.InvalidRuleError):
        rules.rule_add(
            user=supervisor,
            channel="webhook",
            address=address,
            secret_name="chat",
            events=["gate.held"],
        )


def test_it_mails_what_to_decide_and_where(
    mailbox: Mailbox, make_proposal: MakeProposal, operator: Any
) -> None:
    rules.rule_add(
        user=operator, channel="email", address="me@dc.example", events=["proposal.pending"]
    )
    proposal = make_proposal()
    deliver.deliver_due()
    ((to, mail),) = mailbox.mails
    assert to == ["me@dc.example"]
    assert mail["Subject"].endswith("Waits for a signature: Start standby CRAC 4")
    text = mail.get_payload()
    assert f"https://gate.example/approvals/{proposal.pk}/" in text
    assert proposal.digest in text


def test_it_says_what_the_mail_server_refused(
    mailbox: Mailbox, client_as: SignIn, operator: Any
) -> None:
    mailbox.refusal = "550 no such user"
    rule = rules.rule_add(
        user=operator, channel="email", address="gone@dc.example", events=["gate.held"]
    )
    answer = client_as(operator).post(f"/api/v1/notifications/rules/{rule.pk}/test").json()
    assert (answer["state"], answer["event"]) == ("failed", "test")
    assert answer["error"] == "550 no such user"


def test_it_asks_by_risk_and_not_who_asked_for_it(
    make_proposal: MakeProposal, operator: Any, supervisor: Any
) -> None:
    for user, risk in ((operator, "low"), (supervisor, "high")):
        rules.rule_add(user=user, channel="browser", events=["proposal.pending"], least_risk=risk)
    make_proposal(requested_by=operator)
    assert not Delivery.objects.exists()
    make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
    told = set(Delivery.objects.values_list("rule__user__username", flat=True))
    assert told == {"operator", "supervisor"}


def test_it_tells_of_each_happening_once_and_only_after_the_commit(
    make_proposal: MakeProposal, operator: Any
) -> None:
    rules.rule_add(user=operator, channel="browser", events=["gate.held", "execution.failed"])
    proposal = make_proposal()
    for _ in range(2):
        notify(event="gate.held", text="stopped", key="hold:1")
    assert Delivery.objects.count() == 1
    with pytest.raises(RuntimeError), transaction.atomic():
        notify(event="execution.failed", text="x", key="x", proposal=proposal)
        raise RuntimeError
    assert Delivery.objects.count() == 1
    with pytest.raises(ValueError, match=r"gate\.helt"):
        notify(event="gate.helt", text="", key="")


def test_it_follows_a_proposal_through_its_states(
    make_proposal: MakeProposal, operator: Any, supervisor: Any
) -> None:
    rules.rule_add(user=supervisor, channel="browser", events=list(EVENTS))
    proposal = make_proposal()
    proposal_reject(proposal_id=proposal.pk, user=operator, reason="not now")
    events = list(Delivery.objects.order_by("pk").values_list("event", flat=True))
    assert events == ["proposal.pending"]  # a rejection is no news: somebody decided


def test_it_reminds_once_when_the_time_runs_out(
    make_proposal: MakeProposal, operator: Any, forced: Any
) -> None:
    rules.rule_add(user=operator, channel="browser", events=["proposal.expiring"])
    proposal = make_proposal()
    assert moves.remind_expiring() == 0
    forced(
        proposal.pk,
        created_at=timezone.now() - timedelta(minutes=14),
        expires_at=timezone.now() + timedelta(minutes=1),
    )
    assert moves.remind_expiring() == 1
    assert Delivery.objects.get().event == "proposal.expiring"
    moves.remind_expiring()
    assert Delivery.objects.count() == 1


def test_it_is_silent_for_switched_off_rules_and_accounts(
    make_proposal: MakeProposal, operator: Any, viewer: Any
) -> None:
    mine = rules.rule_add(user=operator, channel="browser", events=["proposal.pending"])
    rules.rule_add(user=viewer, channel="browser", events=["proposal.pending"])
    rules.rule_change(rule_id=mine.pk, user=operator, is_active=False)
    viewer.is_active = False
    viewer.save()
    make_proposal()
    assert not Delivery.objects.exists()


class TestDoors:
    """Viewer, operator, supervisor and stranger at the endpoints."""

    def add(self, client: Client, **body: Any) -> Any:
        return client.post(
            "/api/v1/notifications/rules",
            {"channel": "browser", "events": ["gate.held"], **body},
            content_type="application/json",
        )

    def test_it_lets_everybody_have_rules_of_their_own(
        self, client_as: SignIn, viewer: Any, operator: Any
    ) -> None:
        made = self.add(client_as(viewer)).json()
        assert made["user"] == "viewer"
        path = f"/api/v1/notifications/rules/{made['id']}"
        other = client_as(operator)
        assert other.get("/api/v1/notifications/rules").json() == []
        assert other.delete(path).status_code == 404
        assert other.post(path + "/test").status_code == 404
        changed = client_as(viewer).patch(
            path, {"events": ["drill.revealed", "gate.held"]}, content_type="application/json"
        )
        assert changed.json()["events"] == ["gate.held", "drill.revealed"]
        assert client_as(viewer).delete(path).status_code == 204
        trail = AuditEntry.objects.filter(event__startswith="notification_rule.")
        assert [e.event.split(".")[1] for e in trail] == ["added", "changed", "removed"]

    def test_it_lets_supervisors_alone_set_webhooks_and_the_teams_rules(
        self, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
    ) -> None:
        hook = {"channel": "webhook", "address": "https://chat.example/", "secret_name": "chat"}
        for person, status in ((viewer, 403), (operator, 403), (supervisor, 201)):
            client = client_as(person)
            assert self.add(client, is_team=True).status_code == status
            assert self.add(client, **hook).status_code == status
        assert len(client_as(supervisor).get("/api/v1/notifications/rules").json()) == 2
        assert client_as(operator).get("/api/v1/notifications/rules").json() == []

    @pytest.mark.parametrize(
        "body",
        [
            {"events": []},
            {"events": ["nonsense"]},
            {"channel": "pigeon"},
            {"channel": "email", "address": "no address"},
            {"least_risk": "tiny"},
        ],
    )
    def test_it_refuses_rules_that_make_no_sense(
        self, body: dict[str, Any], client_as: SignIn, viewer: Any
    ) -> None:
        assert self.add(client_as(viewer), **body).status_code == 400

    def test_it_shows_the_log_to_whom_it_concerns(
        self,
        client_as: SignIn,
        operator: Any,
        supervisor: Any,
        make_proposal: MakeProposal,
        django_assert_max_num_queries: Any,
    ) -> None:
        rules.rule_add(user=operator, channel="browser", events=["proposal.pending"])
        rules.rule_add(
            user=supervisor, channel="browser", events=["proposal.pending"], is_team=True
        )
        make_proposal()
        for person, seen in ((operator, 1), (supervisor, 1)):
            client = client_as(person)
            with django_assert_max_num_queries(6):
                assert client.get("/api/v1/notifications/deliveries").json()["count"] == seen
        own = Delivery.objects.get(rule__user=operator)
        path = f"/api/v1/notifications/deliveries/{own.pk}/resend"
        assert client_as(supervisor).post(path).status_code == 404
        assert client_as(operator).post(path).status_code == 201

    def test_it_answers_no_stranger(self, db: None) -> None:
        for path in ("rules", "deliveries"):
            assert Client().get(f"/api/v1/notifications/{path}").status_code == 403
        assert self.add(Client()).status_code == 403


def test_it_tells_of_a_failed_execution_with_the_reason(
    make_proposal: MakeProposal, operator: Any, forced: Any
) -> None:
    rules.rule_add(user=operator, channel="browser", events=["execution.unknown"])
    proposal = make_proposal()
    forced(proposal.pk, state=ProposalState.EXECUTING)
    proposal_move(
        proposal_id=proposal.pk,
        source=ProposalState.EXECUTING,
        target=ProposalState.UNKNOWN,
        note="the plant did not answer",
    )
    row = Delivery.objects.get()
    assert row.message["tone"] == "critical"
    assert "the plant did not answer" in row.message["text"]
