"""Changes of accounts and roles that change who may sign: accounts, roles, own permissions, the
permissions of a role, passwords, on and off.

The actor is the signed-in person of the request, `system` where there is none (command line). No
password or hash is recorded.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from approvals.acting import acting_name
from approvals.audit import audit_append

User = get_user_model()
WATCHED = ("password", "is_active", "is_superuser", "is_staff", "username")
SAID = ("is_active", "is_superuser", "is_staff")
_ADDED = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}


def _note(event: str, obj: str, **facts: Any) -> None:
    audit_append(event=event, actor=acting_name(), obj=obj, payload=facts)


def _of(user: Any) -> str:
    return f"user:{user.get_username()}"


def _membership(
    sender: Any, *, instance: Any, action: str, reverse: bool, model: Any, pk_set: Any, **_: Any
) -> None:
    """Roles and own permissions of accounts."""
    what = _ADDED.get(action)
    if what is None or (pk_set is not None and not pk_set):
        return
    forward = "groups" if sender is User.groups.through else "user_permissions"
    if not reverse:
        others = _others(model, pk_set, getattr(instance, forward))
        if others:
            _note("role.changed", _of(instance), **{what: sorted(str(one) for one in others)})
        return
    for user in _others(model, pk_set, instance.user_set):  # group.user_set.add(user)
        _note("role.changed", _of(user), **{what: [str(instance)]})


def _role_permissions(
    sender: Any, *, instance: Any, action: str, reverse: bool, model: Any, pk_set: Any, **_: Any
) -> None:
    """What a role may do. A role that has just been made with the platform's own permissions
    (`ops_platform.roles`) is no change.
    """
    what = _ADDED.get(action)
    if what is None or (pk_set is not None and not pk_set):
        return
    if not reverse:
        others = _others(model, pk_set, instance.permissions)
        if others and not getattr(instance, "made_by_platform", False):
            names = sorted(f"{p.content_type.app_label}.{p.codename}" for p in others)
            _note("role.permissions", f"role:{instance.name}", **{what: names})
        return
    name = f"{instance.content_type.app_label}.{instance.codename}"
    for group in _others(model, pk_set, instance.group_set):
        _note("role.permissions", f"role:{group.name}", **{what: [name]})


def _others(model: Any, pk_set: Any, manager: Any) -> list[Any]:
    """The other side; all of it where everything is about to be cleared (`pk_set` None)."""
    return list(manager.all() if pk_set is None else model.objects.filter(pk__in=pk_set))


def _remember(sender: Any, *, instance: Any, update_fields: Any = None, **_: Any) -> None:
    """Keep the values from before where one of the watched ones may change."""
    instance._before = None
    if instance.pk is None or (update_fields and not set(update_fields) & set(WATCHED)):
        return
    instance._before = User.objects.filter(pk=instance.pk).values(*WATCHED).first()


def _compare(sender: Any, *, instance: Any, created: bool, raw: bool, **_: Any) -> None:
    name = _of(instance)
    if created:
        flags = {field: True for field in SAID[1:] if getattr(instance, field)}
        _note("account.created", name, **({"raw": True} if raw else {}), **flags)
        return
    before = getattr(instance, "_before", None)
    if before is None:
        return
    if before["password"] != instance.password:
        _note("password.changed", name)
    for field in SAID:
        if before[field] != getattr(instance, field):
            _note("account.changed", name, field=field, value=getattr(instance, field))
    if before["username"] != instance.get_username():
        _note("account.changed", name, field="username", value=before["username"])


def _deleted(sender: Any, *, instance: Any, **_: Any) -> None:
    if sender is User:
        _note("account.deleted", _of(instance))
    else:
        _note("role.deleted", f"role:{instance.name}")


def connect() -> None:
    """Connect the receivers; called from the app's `ready()`."""
    uid = "approvals.account_events"
    for through in (User.groups.through, User.user_permissions.through):
        m2m_changed.connect(_membership, sender=through, dispatch_uid=uid)
    m2m_changed.connect(_role_permissions, sender=Group.permissions.through, dispatch_uid=uid)
    pre_save.connect(_remember, sender=User, dispatch_uid=uid)
    post_save.connect(_compare, sender=User, dispatch_uid=uid)
    for model in (User, Group):
        post_delete.connect(_deleted, sender=model, dispatch_uid=uid)
