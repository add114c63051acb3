"""People's accounts: created with one role, passwords generated, never stored in the clear."""

import secrets
from typing import NamedTuple

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from ops_platform.models import User
from ops_platform.roles import assign_role

# Without characters that read alike (0/O, 1/l/I).
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class AccountExists(Exception):
    """A user of this name is there already."""


class Account(NamedTuple):
    user: User
    password: str


def generate_password() -> str:
    """Twenty characters of an unambiguous alphabet: 115 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))


@transaction.atomic
def account_create(*, name: str, role: str, password: str = "") -> Account:
    """Create a user with one role. Raises AccountExists, or ValidationError for a bad password."""
    if User.objects.filter(username=name).exists():
        raise AccountExists(f"user {name} exists already; give it a new password with --reset")
    user = User(username=name)
    if password:
        validate_password(password, user)
    password = password or generate_password()
    user.set_password(password)
    user.save()
    assign_role(user, role)
    return Account(user, password)


@transaction.atomic
def account_reset(*, name: str, role: str, password: str = "") -> Account:
    """Give an existing user a new password and role. Raises User.DoesNotExist."""
    user = User.objects.select_for_update().get(username=name)
    if password:
        validate_password(password, user)
    password = password or generate_password()
    user.set_password(password)
    user.is_active = True
    user.save()
    assign_role(user, role)
    return Account(user, password)
