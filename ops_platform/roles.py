"""Roles are groups; this table says which permissions each has beyond the one below it."""

from typing import Any

ROLES = ["viewer", "operator", "supervisor", "admin"]

#: Permissions that a role adds to those of the roles before it.
ADDED: dict[str, list[str]] = {
    "viewer": [],
    "operator": [
        "facilities.acknowledge_alarm",
        "facilities.inject_fault",
        "facilities.add_whatifrun",
        "approvals.add_proposal",
        "approvals.decide_proposal",
        "approvals.stop_all",
        "rag.add_document",
        "rag.add_goldenquestion",
        "rag.change_goldenquestion",
        "rag.add_evaluationrun",
        "rag.change_gap",
    ],
    "supervisor": [
        "facilities.manage_sources",
        "facilities.manage_alarms",
        "facilities.delete_whatifrun",
        "approvals.decide_high_risk",
        "approvals.break_glass",
        "approvals.review_break_glass",
        "approvals.change_policy",
        "approvals.change_notificationrule",
        "rag.release_report",
        "rag.review_feedback",
        "rag.add_collection",
        "rag.change_collection",
        "rag.change_document",
    ],
    "admin": [],
}


def permissions_of(role: str) -> list[str]:
    """Every permission of a role, its lower roles' included."""
    return [name for lower in ROLES[: ROLES.index(role) + 1] for name in ADDED[lower]]


def sync_roles(**_: Any) -> None:
    """Create the four groups and give them their permissions; runs after each migrate.

    Permission rows of other apps are made by their own post_migrate handlers, which run later in
    the same migrate for apps further down; those rows are made here first, so order is no matter.
    """
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    for label in ("facilities", "rag", "approvals"):
        create_permissions(apps.get_app_config(label), verbosity=0)
    known = {
        f"{p.content_type.app_label}.{p.codename}": p
        for p in Permission.objects.select_related("content_type")
    }
    for role in ROLES:
        group, created = Group.objects.get_or_create(name=role)
        # What a role comes with is no change of it (`approvals.account_events` records those).
        group.__dict__["made_by_platform"] = created
        group.permissions.set([known[name] for name in permissions_of(role) if name in known])


def assign_role(user: Any, role: str) -> None:
    """Give `user` exactly one role; admin is also staff and superuser (the admin console)."""
    from django.contrib.auth.models import Group

    user.is_staff = user.is_superuser = role == "admin"
    user.save(update_fields=["is_staff", "is_superuser"])
    user.groups.set([Group.objects.get(name=role)])
