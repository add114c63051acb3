"""Changes of accounts that change who may sign: roles, own permissions, passwords, on and off.

Who did it is not known here (console, command line or the account itself); Django's console log
names the person, the trail that it happened. No password or hash is recorded.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import m2m_changed, post_save, pre_save

from approvals.audit import SYSTEM, audit_append

User = get_user_model()
WATCHED = ("password", "is_active", "is_superuser")
_ADDED = {"post_add": "added", "post_remove": "removed", "post_clear": "cleared"}


def _note(event: str, username: str, **facts: Any) -> None:
    audit_append(event=event, actor=SYSTEM, obj=f"user:{username}", payload=facts)


def _membership(
    sender: Any, *, instance: Any, action: str, reverse: bool, model: Any, pk_set: Any, **_: Any
) -> None:
    what = _ADDED.get(action)
    if what is None or (pk_set is not None and not pk_set):
        return
    others = model.objects.filter(pk__in=pk_set or ())
    if reverse:  # group.user_set.add(user)
        for user in others:
            _note("role.changed", user.get_username(), **{what: [str(instance)]})
        return
    _note("role.changed", instance.get_username(), **{what: sorted(str(one) for one in others)})


def _remember(sender: Any, *, instance: Any, update_fields: Any = None, **_: Any) -> None:
    """Keep the values from before where one of the watched ones may change."""
    instance._before = None
    if instance.pk is None or (update_fields and not set(update_fields) & set(WATCHED)):
        return
    instance._before = User.objects.filter(pk=instance.pk).values(*WATCHED).first()


def _compare(sender: Any, *, instance: Any, created: bool, **_: Any) -> None:
    before = getattr(instance, "_before", None)
    if created or before is None:
        return
    name = instance.get_username()
    if before["password"] != instance.password:
        _note("password.changed", name)
    for field in ("is_active", "is_superuser"):
        if before[field] != getattr(instance, field):
            _note("account.changed", name, field=field, value=getattr(instance, field))


def connect() -> None:
    """Connect the receivers; called from the app's `ready()`."""
    uid = "approvals.account_events"
    for through in (User.groups.through, User.user_permissions.through):
        m2m_changed.connect(_membership, sender=through, dispatch_uid=uid)
    pre_save.connect(_remember, sender=User, dispatch_uid=uid)
    post_save.connect(_compare, sender=User, dispatch_uid=uid)
