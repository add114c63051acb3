"""Messages to people over a real HTTP server and a real SMTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.exceptions import ValidationError
from django.utils import timezone

from facilities.alarms import duty, engine, services
from facilities.alarms.notify import deliver, targets, webhook
from facilities.models import (
    Alarm,
    AlarmEvent,
    Delivery,
    Escalation,
    EscalationChain,
    EscalationStep,
    LatestReading,
    NotificationChannel,
    Point,
)
from ops_platform.config import Smtp, load

pytestmark = pytest.mark.django_db


@dataclass
class Receiver:
    """A web server that keeps what it gets and answers as it is told."""

    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?team=ops"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_PRIVATE = True
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(found.status)
            if found.status == 302:
                self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()
            self.wfile.write(b"thanks")

        def log_message(self, *args: Any) -> None:
            pass

    found.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


class Mailbox:
    """What the SMTP server took; addresses in ``refuse`` are turned away."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse: dict[str, str] = {}

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    with socket.socket() as free:  # the controller wants to know its port beforehand
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.SMTP = Smtp("127.0.0.1", port)
    settings.MAIL_FROM = "holdpoint@dc.example"
    yield box
    controller.stop()


def hook(url: str) -> NotificationChannel:
    return NotificationChannel.objects.create(name="ops", kind="webhook", url=url)


def raised(tag: str = "crac-a.fault", value: float = 1.0) -> Alarm:
    now = datetime.now(UTC)
    point = Point.objects.get(tag=tag)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": now, "value": value, "quality": 1, "received_at": now}
    )
    engine.evaluate(point_ids=[point.pk])
    return Alarm.objects.get(point=point)


def chain(*steps: dict[str, Any], **more: Any) -> EscalationChain:
    made = EscalationChain.objects.create(name="shift", **more)
    for order, step in enumerate(steps, 1):
        EscalationStep.objects.create(chain=made, order=order, **step)
    return made


class TestWebhook:
    def test_it_sends_a_signed_message_once(self, small_facility, receiver):
        channel = hook(receiver.url)
        chain({"channel": channel})
        alarm = raised()
        now = timezone.now()
        assert duty.tick(now=now).messages == 1
        assert deliver.deliver_due() == 1
        assert (deliver.deliver_due(), duty.tick(now=now).messages) == (0, 0)
        ((headers, body),) = receiver.got
        told = json.loads(body)
        assert (told["type"], told["alarm"]["id"]) == ("alarm.raised", alarm.pk)
        key, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert headers["idempotency-key"] == key
        assert abs(int(stamp) - timezone.now().timestamp()) < 60
        secret = base64.b64decode(webhook.secret_of(channel).removeprefix("whsec_"))
        mac = hmac.new(secret, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.attempts) == ("sent", 1)
        assert delivery.outcome == "200 thanks"
        assert AlarmEvent.objects.filter(alarm=alarm, event="notified").count() == 1

    def test_it_tries_again_with_growing_pauses_and_the_same_key(self, small_facility, receiver):
        receiver.status = 503
        (row,) = deliver.channel_test(channel=hook(receiver.url), by="me")
        now, pauses = timezone.now(), []
        for _ in range(3):
            assert deliver.deliver(delivery_id=row.pk, now=now)
            row.refresh_from_db()
            assert row.state == "pending"
            assert row.next_attempt_at is not None
            pauses.append((row.next_attempt_at - now).total_seconds())
            assert not deliver.deliver(delivery_id=row.pk, now=now)
            now = row.next_attempt_at
        for pause, expected in zip(pauses, (5, 10, 20), strict=True):
            assert 0.8 * expected <= pause <= 1.2 * expected
        receiver.status = 200
        deliver.deliver(delivery_id=row.pk, now=now)
        row.refresh_from_db()
        assert (row.state, row.attempts) == ("sent", 4)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1

    def test_it_gives_up_in_the_end_and_at_once_on_a_refusal(self, small_facility, receiver):
        receiver.status = 500
        (row,) = deliver.channel_test(channel=hook(receiver.url), by="me")
        Delivery.objects.update(attempts=deliver.MAX_ATTEMPTS - 1)
        deliver.deliver_due()
        row.refresh_from_db()
        assert (row.state, row.next_attempt_at) == ("failed", None)
        receiver.status = 410
        again = deliver.delivery_resend(delivery_id=row.pk)
        assert again.key != row.key
        deliver.deliver_due()
        again.refresh_from_db()
        assert (again.state, again.attempts) == ("failed", 1)

    def test_it_follows_no_redirect(self, small_facility, receiver):
        receiver.status = 302
        deliver.channel_test(channel=hook(receiver.url), by="me")
        deliver.deliver_due()
        assert Delivery.objects.get().state == "failed"
        assert len(receiver.got) == 1

    def test_it_survives_a_dead_receiver(self, small_facility, receiver):
        url = receiver.url
        receiver.server.shutdown()
        receiver.server.server_close()
        deliver.channel_test(channel=hook(url), by="me")
        deliver.deliver_due()
        row = Delivery.objects.get()
        assert (row.state, row.attempts) == ("pending", 1)
        assert "ConnectError" in row.outcome

    def test_it_comes_back_to_what_a_killed_worker_held(self, small_facility, receiver):
        (row,) = deliver.channel_test(channel=hook(receiver.url), by="me")
        now = timezone.now()
        Delivery.objects.update(attempts=1, next_attempt_at=now + deliver.LEASE)  # claimed, killed
        assert not deliver.deliver(delivery_id=row.pk, now=now)
        assert deliver.deliver(delivery_id=row.pk, now=now + deliver.LEASE)
        assert Delivery.objects.get().state == "sent"


class TestTargets:
    @pytest.mark.parametrize(
        "url",
        [
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://user:pw@example.com/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
            "http://224.0.0.1/",
            "http://exa mple.com/",
            "http://example.com:99999/",
        ],
    )
    def test_it_refuses_these_whatever_is_set(self, settings, url):
        settings.WEBHOOK_PRIVATE = True
        with pytest.raises(targets.Refused):
            targets.check_url(url)
        with pytest.raises(ValidationError):
            NotificationChannel(name="x", kind="webhook", url=url).clean()

    @pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "[::1]", "localhost"])
    def test_it_lets_private_addresses_through_by_setting_only(self, settings, host):
        settings.WEBHOOK_PRIVATE = False
        with pytest.raises(targets.Refused, match="OPS_WEBHOOK_PRIVATE"):
            targets.resolve(f"http://{host}:8080/hook")
        settings.WEBHOOK_PRIVATE = True
        assert targets.resolve(f"http://{host}:8080/hook").port == 8080

    def test_it_looks_again_before_each_message(self, small_facility, receiver, settings):
        deliver.channel_test(channel=hook(receiver.url), by="me")
        settings.WEBHOOK_PRIVATE = False
        deliver.deliver_due()
        row = Delivery.objects.get()
        assert (row.state, row.outcome[:8]) == ("failed", "refused:")
        assert receiver.got == []


class TestMail:
    def test_it_mails_people_by_role(self, small_facility, mailbox, operator, viewer):
        for user in (operator, viewer):
            user.email = f"{user.username}@dc.example"
            user.save()
        chain({"role": "operator"})
        raised()
        duty.tick()
        deliver.deliver_due()
        ((to, mail),) = mailbox.mails
        assert to == ["operator@dc.example"]
        assert mail["Subject"] == "[high] crac-a.fault: The unit has tripped"
        assert mail["From"] == "holdpoint@dc.example"
        assert str(Delivery.objects.get().key) in mail["Message-ID"]

    def test_it_tells_a_lasting_refusal_from_a_passing_one(self, small_facility, mailbox):
        channel = NotificationChannel.objects.create(
            name="m", kind="email", recipients="gone@dc.example\nbusy@dc.example, ok@dc.example"
        )
        mailbox.refuse = {
            "gone@dc.example": "550 no such user",
            "busy@dc.example": "451 try later",
        }
        deliver.channel_test(channel=channel, by="me")
        deliver.deliver_due()
        states = dict(Delivery.objects.values_list("target", "state"))
        assert states == {
            "gone@dc.example": "failed",
            "busy@dc.example": "pending",
            "ok@dc.example": "sent",
        }

    def test_it_says_what_to_set_without_a_server(self, small_facility, settings):
        settings.SMTP = Smtp()
        channel = NotificationChannel.objects.create(
            name="m", kind="email", recipients="a@dc.example"
        )
        deliver.channel_test(channel=channel, by="me")
        deliver.deliver_due()
        assert "OPS_SMTP_URL" in Delivery.objects.get().outcome

    def test_it_reads_the_servers_address(self):
        smtp = load({"OPS_SMTP_URL": "smtps://me:p%40ss@mail.example"}).smtp
        assert smtp == Smtp("mail.example", 465, "me", "p@ss", False, True)
        assert load({"OPS_SMTP_URL": "smtp://mail.example"}).smtp.starttls


class TestEscalation:
    def run(self, at: datetime) -> list[str]:
        before = set(Delivery.objects.values_list("pk", flat=True))
        duty.tick(now=at)
        return list(Delivery.objects.exclude(pk__in=before).values_list("body__step", flat=True))

    def test_it_takes_step_after_step_and_repeats(self, small_facility, receiver):
        channel = hook(receiver.url)
        chain({"channel": channel}, {"channel": channel, "wait_s": 60}, repeats=1)
        raised()
        t = timezone.now()
        assert self.run(t) == ["shift, step 1 of 2"]
        assert self.run(t + timedelta(seconds=59)) == []
        assert self.run(t + timedelta(seconds=61)) == ["shift, step 2 of 2"]
        assert self.run(t + timedelta(seconds=63)) == ["shift, step 1 of 2, round 2"]
        assert self.run(t + timedelta(seconds=130)) == ["shift, step 2 of 2, round 2"]
        assert self.run(t + timedelta(hours=1)) == []
        assert Escalation.objects.get().ended == "every step was taken"

    def test_it_stops_when_somebody_acknowledges(self, small_facility, receiver, operator):
        channel = hook(receiver.url)
        chain({"channel": channel}, {"channel": channel, "wait_s": 60})
        alarm = raised()
        t = timezone.now()
        assert len(self.run(t)) == 1
        services.alarm_acknowledge(alarm_id=alarm.pk, user=operator)
        assert self.run(t + timedelta(seconds=120)) == []
        assert Escalation.objects.get().ended == "acknowledged by operator"
        deliver.deliver_due()
        assert receiver.got == []
        assert Delivery.objects.get().outcome == "not sent: acknowledged by operator"

    def test_it_takes_each_step_once_under_concurrency(self, small_facility, receiver):
        from facilities.alarms.notify import escalation

        chain({"channel": hook(receiver.url)})
        raised()
        stale = list(Escalation.objects.select_related("chain", "alarm__maintenance"))
        now = timezone.now()
        assert [escalation._take(row, now) for row in (*stale, *stale)] == [1, 0]

    def test_it_uses_the_first_chain_that_fits(self, small_facility, receiver):
        channel = hook(receiver.url)
        for name, position, more in (
            ("racks", 1, {"asset_kind": "rack"}),
            ("worst", 2, {"min_severity": "critical"}),
            ("all", 3, {"min_severity": "low"}),
        ):
            made = EscalationChain.objects.create(name=name, position=position, **more)
            EscalationStep.objects.create(chain=made, order=1, channel=channel)
        raised()
        assert Escalation.objects.get().chain.name == "all"

    def test_it_starts_what_a_crash_left_out(self, small_facility, receiver):
        alarm = raised()
        assert not Escalation.objects.exists()
        chain({"channel": hook(receiver.url)})
        duty.tick()
        assert Escalation.objects.get().alarm_id == alarm.pk
