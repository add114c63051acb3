"""Authenticators' keys at rest, another secret, and codes that are good once."""

from __future__ import annotations

import importlib
import uuid
from base64 import b32decode, urlsafe_b64decode, urlsafe_b64encode
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as installation
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_otp.oath import totp as code_at
from django_otp.plugins.otp_totp.models import TOTPDevice
from hypothesis import given
from hypothesis import strategies as st

from approvals.models import AuditEntry, Authenticator
from approvals.signing import ReauthenticationRequiredError, reauthenticate, totp
from approvals.signing.reseal import authenticators_reseal
from approvals.signing.sealing import SealError, mark_of, seal, unseal
from approvals.tests.conftest import PASSWORD

OLD = "the-secret-of-before-which-is-long-enough"
secrets = st.text("abcXYZ019-_ ", min_size=1, max_size=60)


@given(st.binary(min_size=10, max_size=40), secrets, secrets, st.integers(0, 400))
def test_it_opens_with_its_secret_and_row_alone(
    key: bytes, secret: str, other: str, bit: int
) -> None:
    closed = seal(key=key, secret=secret, of="row 1")
    assert unseal(sealed=closed, secret=secret, of="row 1") == key
    assert key not in urlsafe_b64decode(closed.split(".")[2])
    with pytest.raises(SealError, match="another row"):
        unseal(sealed=closed, secret=secret, of="row 2")
    if mark_of(other) != mark_of(secret):
        with pytest.raises(SealError, match=f"secret {mark_of(secret)}"):
            unseal(sealed=closed, secret=other, of="row 1")
    version, mark, text = closed.split(".")
    raw = bytearray(urlsafe_b64decode(text))
    raw[bit % len(raw)] ^= 1
    forged = ".".join((version, mark, urlsafe_b64encode(bytes(raw)).decode()))
    with pytest.raises(SealError, match="changed in the database"):
        unseal(sealed=forged, secret=secret, of="row 1")


@pytest.fixture
def mine(operator: Any) -> tuple[Authenticator, bytes, list[str]]:
    """The operator's confirmed authenticator, its key and the recovery codes."""
    made = totp.enrol(user=operator, name="Phone")
    key = b32decode(made.secret)
    codes = totp.confirm(user=operator, device_id=made.device, code=now_code(key))
    Authenticator.objects.update(last_step=-1)
    return Authenticator.objects.get(), key, codes


def now_code(key: bytes, step: int = 0) -> str:
    return f"{code_at(key, drift=step):06d}"


@pytest.mark.django_db
class TestAtRest:
    def test_it_holds_no_key_in_any_spelling(self, mine: Any, sql: Any) -> None:
        device, key, _ = mine
        [(row,)] = sql("SELECT row_to_json(a)::text FROM approvals_authenticator a")
        for spelling in (key.hex(), totp.b32encode(key).decode(), urlsafe_b64encode(key).decode()):
            assert spelling.lower() not in row.lower()
        assert device.sealed.startswith(f"v1.{mark_of(installation.SECRET_KEY)}.")
        assert not TOTPDevice.objects.exists()

    def test_it_does_not_take_a_key_that_was_moved_to_another_account(
        self, mine: Any, supervisor: Any, sql: Any
    ) -> None:
        """Somebody with a SQL prompt gives the supervisor their own phone."""
        _, key, _ = mine
        sql("UPDATE approvals_authenticator SET user_id = %s", supervisor.pk)
        with pytest.raises(SealError, match="belongs to another row"):
            reauthenticate(user=supervisor, otp=now_code(key))
        assert AuditEntry.objects.filter(event="reauthentication.failed").count() == 1
        assert reauthenticate(user=supervisor, password=PASSWORD) == "password"

    def test_it_takes_no_code_twice_and_none_from_before(self, mine: Any, operator: Any) -> None:
        _, key, _ = mine
        assert reauthenticate(user=operator, otp=now_code(key)) == "totp"
        for step in (0, -1):
            with pytest.raises(ReauthenticationRequiredError):
                reauthenticate(user=operator, otp=now_code(key, step))
        assert Authenticator.objects.get().last_used_at is not None


@pytest.mark.django_db
class TestAnotherSecret:
    def test_it_says_what_to_do_with_a_wrong_secret(
        self, mine: Any, operator: Any, settings: Any
    ) -> None:
        _, key, _ = mine
        was, settings.SECRET_KEY = settings.SECRET_KEY, OLD
        with pytest.raises(SealError) as refused:
            reauthenticate(user=operator, otp=now_code(key))
        assert (refused.value.status, refused.value.code) == (409, "authenticator_unreadable")
        for word in (mark_of(was), mark_of(OLD), "reseal_authenticators"):
            assert word in refused.value.detail
        assert was not in refused.value.detail

    def test_it_seals_anew_for_the_new_secret(
        self, mine: Any, operator: Any, settings: Any, tmp_path: Path
    ) -> None:
        _, key, codes = mine
        file = tmp_path / "old"
        file.write_text(f"{settings.SECRET_KEY}\n")
        settings.SECRET_KEY = OLD
        out = StringIO()
        for said in ("sealed 1 authenticator(s) anew, 0", "sealed 0 authenticator(s) anew, 1"):
            call_command("reseal_authenticators", "--old-secret-file", str(file), stdout=out)
            assert said in out.getvalue()
        assert reauthenticate(user=operator, otp=now_code(key)) == "totp"
        with pytest.raises(ReauthenticationRequiredError):
            reauthenticate(user=operator, otp=codes[0])
        assert AuditEntry.objects.get(event="totp.resealed").payload["recovery_codes_ended"] == 1

    def test_it_changes_nothing_with_a_secret_that_is_none_of_both(
        self, mine: Any, settings: Any, tmp_path: Path
    ) -> None:
        device, _, _ = mine
        settings.SECRET_KEY = OLD
        with pytest.raises(SealError):
            authenticators_reseal(old_secret="neither")
        (tmp_path / "empty").write_text("\n")
        for name in ("empty", "absent"):
            with pytest.raises(CommandError):
                call_command("reseal_authenticators", "--old-secret-file", str(tmp_path / name))
        assert Authenticator.objects.get().sealed == device.sealed


@pytest.mark.django_db
class TestMigration:
    module = importlib.import_module("approvals.migrations.0017_keys_and_evidence")

    def test_it_moves_what_there_was(self, operator: Any) -> None:
        old = TOTPDevice.objects.create(user_id=operator.pk, name="Old phone", drift=1, last_t=7)
        key = old.bin_key
        self.module.seal_keys(apps, None)
        moved = Authenticator.objects.get()
        assert (moved.name, moved.drift, moved.last_step) == ("Old phone", 1, 7)
        assert moved.confirmed and not TOTPDevice.objects.exists()
        assert reauthenticate(user=operator, otp=now_code(key)) == "totp"

    def test_it_refuses_to_seal_with_a_key_that_is_gone_tomorrow(
        self, operator: Any, settings: Any
    ) -> None:
        from dataclasses import replace

        TOTPDevice.objects.create(user_id=operator.pk, name="Old phone")
        settings.CONFIG = replace(settings.CONFIG, secret_key_is_ephemeral=True)
        with pytest.raises(ImproperlyConfigured, match="OPS_SECRET_KEY"):
            self.module.seal_keys(apps, None)
        assert TOTPDevice.objects.count() == 1


@pytest.mark.django_db
def test_it_refuses_two_rows_with_one_label(mine: Any, supervisor: Any) -> None:
    from django.db import IntegrityError, transaction

    device, _, _ = mine
    copy = Authenticator(
        user_id=supervisor.pk, name="x", label=device.label, sealed=device.sealed,
        created_at=timezone.now(),
    )  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save()
    copy.label = uuid.uuid4()
    copy.save()
    with pytest.raises(SealError):
        Authenticator.objects.update(confirmed=True)
        totp.code_holds(user=supervisor, code="123456")
