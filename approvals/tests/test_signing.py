"""Proving again who signs: password, authenticator, recovery code; throttled and on record."""

from __future__ import annotations

import json
import logging
import threading
from base64 import b32decode
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.oath import totp as code_at
from django_otp.plugins.otp_static.models import StaticToken

from approvals.audit import audit_verify
from approvals.models import AuditEntry, Authenticator, Decision
from approvals.signing import ReauthenticationRequiredError, TooManyAttemptsError, reauthenticate
from approvals.tests.conftest import PASSWORD, MakeProposal

BASE = "/api/v1/security/totp"


def post(client: Client, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = client.post(path, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def code_of(secret: str) -> str:
    """What the app shows now."""
    return f"{code_at(b32decode(secret)):06d}"


@pytest.fixture
def enrolled(client_as: Any, operator: Any) -> tuple[Client, str, list[str]]:
    """The operator's client, the key of a new authenticator and the recovery codes."""
    client = client_as(operator)
    status, made = post(client, BASE, {"password": PASSWORD, "name": "Phone"})
    assert status == 201
    body = {"code": code_of(made["secret"])}
    status, said = post(client, f"{BASE}/{made['device']}/confirm", body)
    assert status == 200
    # The next code of the same 30 s would be a replay of the one that confirmed it.
    Authenticator.objects.update(last_step=-1)
    return client, made["secret"], said["recovery_codes"]


@pytest.mark.django_db
class TestReauthenticate:
    def test_it_takes_the_password_and_records_the_attempt(self, operator: Any) -> None:
        assert reauthenticate(user=operator, password=PASSWORD, what="proposal:7") == "password"
        entry = AuditEntry.objects.get(event="reauthentication.succeeded")
        assert (entry.actor, entry.payload) == (
            "operator",
            {"for": "proposal:7", "method": "password"},
        )

    def test_it_asks_when_nothing_is_given(self, operator: Any) -> None:
        with pytest.raises(ReauthenticationRequiredError) as asked:
            reauthenticate(user=operator)
        assert (asked.value.status, asked.value.code) == (403, "reauthentication_required")

    @pytest.mark.parametrize("proof", [{"password": "guess"}, {"otp": "123456"}, {"otp": "x" * 99}])
    def test_it_refuses_what_is_wrong(self, operator: Any, proof: dict[str, Any]) -> None:
        with pytest.raises(ReauthenticationRequiredError) as refused:
            reauthenticate(user=operator, **proof)
        assert refused.value.code == "reauthentication_failed"
        assert AuditEntry.objects.filter(event="reauthentication.failed").count() == 1

    def test_it_refuses_somebody_who_was_switched_off(self, operator: Any) -> None:
        operator.is_active = False
        with pytest.raises(ReauthenticationRequiredError):
            reauthenticate(user=operator, password=PASSWORD)

    def test_it_stops_guessing_even_with_the_right_password_then(self, operator: Any) -> None:
        for _ in range(5):
            with pytest.raises(ReauthenticationRequiredError):
                reauthenticate(user=operator, password="guess")
        with pytest.raises(TooManyAttemptsError) as refused:
            reauthenticate(user=operator, password=PASSWORD)
        assert refused.value.status == 429
        assert refused.value.extra["until"] > timezone.now().isoformat()[:19]
        assert AuditEntry.objects.filter(event="reauthentication.throttled").count() == 1

    def test_it_counts_from_the_last_success(self, operator: Any) -> None:
        for _ in range(2):
            for _ in range(4):
                with pytest.raises(ReauthenticationRequiredError):
                    reauthenticate(user=operator, password="guess")
            assert reauthenticate(user=operator, password=PASSWORD) == "password"

    def test_it_opens_again_after_a_while(
        self, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(5):
            with pytest.raises(ReauthenticationRequiredError):
                reauthenticate(user=operator, password="guess")
        later = timezone.now() + timedelta(minutes=16)
        monkeypatch.setattr("approvals.signing.proof.timezone.now", lambda: later)
        assert reauthenticate(user=operator, password=PASSWORD) == "password"


@pytest.mark.django_db(transaction=True)
def test_it_counts_guesses_that_come_at_once(operator: Any) -> None:
    said: list[str] = []

    def guess() -> None:
        try:
            reauthenticate(user=operator, password="guess")
        except (ReauthenticationRequiredError, TooManyAttemptsError) as error:
            said.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(said) == ["reauthentication_failed"] * 5 + ["too_many_attempts"] * 3


@pytest.mark.django_db
class TestAuthenticator:
    def test_it_signs_with_a_code_once(
        self, enrolled: Any, make_proposal: MakeProposal, operator: Any
    ) -> None:
        client, secret, _ = enrolled
        first = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
        second = make_proposal("shed_rack_load", "rack-1-04", {"load_cap_pct": 70.0})
        body = {"reason": "hot", "otp": code_of(secret)}

        def sign(proposal: Any) -> tuple[int, dict[str, Any]]:
            path = f"/api/v1/proposals/{proposal.pk}/approve"
            return post(client, path, {**body, "digest": proposal.digest})

        assert sign(first)[0] == 200
        assert Decision.objects.get().reauthenticated == "totp"
        status, said = sign(second)
        assert (status, said["code"]) == (403, "reauthentication_failed"), "a code is good once"

    def test_it_takes_a_recovery_code_once(self, enrolled: Any, operator: Any) -> None:
        _, _, codes = enrolled
        assert len(set(codes)) == 10
        assert reauthenticate(user=operator, otp=codes[0].upper()) == "recovery"
        with pytest.raises(ReauthenticationRequiredError):
            reauthenticate(user=operator, otp=codes[0])

    def test_it_does_not_take_another_persons_code(self, enrolled: Any, supervisor: Any) -> None:
        _, secret, codes = enrolled
        for code in (code_of(secret), codes[0]):
            with pytest.raises(ReauthenticationRequiredError):
                reauthenticate(user=supervisor, otp=code)

    def test_it_needs_proof_to_add_or_remove_one(self, enrolled: Any) -> None:
        client, _, _ = enrolled
        device = Authenticator.objects.get()
        assert post(client, BASE, {})[1]["code"] == "reauthentication_required"
        status, said = post(client, f"{BASE}/{device.pk}/remove", {"password": "guess"})
        assert (status, said["code"]) == (403, "reauthentication_failed")
        assert Authenticator.objects.filter(confirmed=True).count() == 1
        status, said = post(client, f"{BASE}/{device.pk}/remove", {"password": PASSWORD})
        assert (status, said["devices"], said["recovery_codes_left"]) == (200, [], 0)

    def test_it_proves_nothing_before_its_first_code(self, client_as: Any, operator: Any) -> None:
        client = client_as(operator)
        made = post(client, BASE, {"password": PASSWORD})[1]
        with pytest.raises(ReauthenticationRequiredError):
            reauthenticate(user=operator, otp=code_of(made["secret"]))
        wrong = f"{(int(code_of(made['secret'])) + 1) % 10**6:06d}"
        status, said = post(client, f"{BASE}/{made['device']}/confirm", {"code": wrong})
        assert (status, said["code"]) == (400, "wrong_code")

    def test_it_keeps_others_off(
        self, enrolled: Any, client_as: Any, supervisor: Any, viewer: Any
    ) -> None:
        device = Authenticator.objects.get()
        path = f"{BASE}/{device.pk}/remove"
        assert post(client_as(supervisor), path, {"password": PASSWORD})[0] == 404
        assert post(Client(), path, {"password": PASSWORD})[0] in (401, 403)
        assert client_as(viewer).get(BASE).json() == {"devices": [], "recovery_codes_left": 0}

    def test_it_is_not_for_agents(self, db: None) -> None:
        from approvals.outside.access import agent_issue

        bearer = {"Authorization": f"Bearer {agent_issue(name='scout').token}"}
        answer = Client(headers=bearer).post(BASE, "{}", content_type="application/json")
        assert answer.status_code == 403

    def test_it_tells_its_secrets_to_nobody_else(
        self, enrolled: Any, operator: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        client, secret, codes = enrolled
        caplog.set_level(logging.DEBUG)
        code = code_of(secret)
        reauthenticate(user=operator, otp=code)
        reauthenticate(user=operator, password=PASSWORD)
        device = Authenticator.objects.get()
        told = json.dumps([e.content() for e in AuditEntry.objects.all()], default=str)
        told += caplog.text + client.get(BASE).content.decode()
        told += client.get("/approvals/security/").content.decode()
        for word in (secret, b32decode(secret).hex(), device.sealed, PASSWORD, f'"{code}"', *codes):
            assert word not in told
        stored = set(StaticToken.objects.values_list("token", flat=True))
        assert not stored & {c.replace("-", "") for c in codes}, "kept as hashes only"
        assert audit_verify().ok

    def test_it_shows_no_key_in_the_console(
        self, enrolled: Any, client_as: Any, admin: Any
    ) -> None:
        device = Authenticator.objects.get()
        console = client_as(admin)
        page = f"/admin/approvals/authenticator/{device.pk}/change/"
        for path in ("/admin/approvals/authenticator/", page):
            answer = console.get(path)
            assert answer.status_code == 200
            assert device.sealed not in answer.content.decode()
        assert console.post(page, {"sealed": "00" * 20}).status_code == 403
        assert console.get("/admin/approvals/authenticator/add/").status_code == 403
        assert console.get("/admin/otp_totp/totpdevice/").status_code == 404


@pytest.mark.django_db
class TestPage:
    def test_it_is_for_people_who_are_signed_in(self, client_as: Any, viewer: Any) -> None:
        assert Client().get("/approvals/security/").status_code == 302
        page = client_as(viewer).get("/approvals/security/")
        assert page.status_code == 200
        assert "No authenticator yet" in page.content.decode()

    def test_it_draws_a_key_that_an_app_can_read(self, client_as: Any, operator: Any) -> None:
        made = post(client_as(operator), BASE, {"password": PASSWORD})[1]
        assert made["uri"].startswith("otpauth://totp/Holdpoint%3Aoperator?")
        assert f"secret={made['secret']}" in made["uri"]
        assert made["qr"].startswith("<svg") and "style" not in made["qr"]
