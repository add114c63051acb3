"""Accounts, roles and the log-in door."""

import itertools
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from ops_platform.models import User
from ops_platform.roles import ROLES, permissions_of

pytestmark = pytest.mark.django_db


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command("create_operator", *arguments, stdout=out)
    return out.getvalue()


def test_it_creates_an_account_and_shows_the_password_once() -> None:
    output = _run("ines", "--role", "supervisor")
    password = output.strip().rsplit(" ", 1)[1]
    user = User.objects.get(username="ines")
    assert user.check_password(password)
    assert user.role == "supervisor"
    assert not user.is_staff


def test_it_refuses_an_existing_name_and_says_how_to_reset() -> None:
    _run("ines", "--role", "viewer")
    with pytest.raises(CommandError, match="--reset"):
        _run("ines", "--role", "viewer")


def test_it_resets_password_and_role() -> None:
    first = _run("ines", "--role", "viewer").strip().rsplit(" ", 1)[1]
    second = _run("ines", "--role", "operator", "--reset").strip().rsplit(" ", 1)[1]
    user = User.objects.get(username="ines")
    assert first != second
    assert user.check_password(second)
    assert user.role == "operator"


def test_it_reads_the_password_from_a_file_and_never_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("a-long-enough-passphrase\n")
    output = _run("ines", "--role", "viewer", "--password-file", str(path))
    assert "a-long-enough" not in output
    assert User.objects.get(username="ines").check_password("a-long-enough-passphrase")


@pytest.mark.parametrize("content", ["", "short"])
def test_it_refuses_a_bad_password_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "password"
    path.write_text(content)
    with pytest.raises(CommandError):
        _run("ines", "--role", "viewer", "--password-file", str(path))
    assert not User.objects.exists()


def test_each_role_includes_the_one_below_it() -> None:
    for lower, higher in itertools.pairwise(ROLES):
        assert set(permissions_of(lower)) <= set(permissions_of(higher))


def test_roles_hold_their_permissions(viewer, operator, supervisor) -> None:
    assert not viewer.has_perm("approvals.decide_proposal")
    assert operator.has_perm("approvals.decide_proposal")
    assert not operator.has_perm("approvals.decide_high_risk")
    assert supervisor.has_perm("approvals.decide_high_risk")


def test_it_logs_in_and_out(operator) -> None:
    client = Client()
    assert client.get("/").status_code == 302
    answer = client.post("/login/", {"username": "operator", "password": "correct-horse-battery"})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_it_refuses_a_wrong_password_without_saying_which_part_was_wrong(operator) -> None:
    for name in ("operator", "nobody"):
        answer = Client().post("/login/", {"username": name, "password": "wrong"})
        assert answer.status_code == 200
        assert b"correct username and password" in answer.content


def test_it_never_redirects_to_another_site_after_log_in(operator) -> None:
    answer = Client().post(
        "/login/?next=https://evil.example/",
        {
            "username": "operator",
            "password": "correct-horse-battery",
            "next": "https://evil.example/",
        },
    )
    assert answer["Location"] == "/"
