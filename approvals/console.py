"""What people do in the admin console, in the audit trail: who, on what, which fields; no values."""

from __future__ import annotations

import json
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.actions import delete_selected as django_delete_selected
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db import transaction
from django.db.models.signals import post_save

from approvals.audit import audit_append

EVENTS: Final = {
    ADDITION: "console.added",
    CHANGE: "console.changed",
    DELETION: "console.deleted",
}


def _noted(sender: Any, *, instance: LogEntry, created: bool, **_: Any) -> None:
    """Each entry of Django's own log, in the same transaction."""
    if not created or instance.action_flag not in EVENTS:
        return
    kind = instance.content_type
    label = f"{kind.app_label}.{kind.model}" if kind else "?"
    audit_append(
        event=EVENTS[instance.action_flag],
        actor=instance.user.get_username(),
        obj=f"{label}:{instance.object_id}"[:120],
        payload={"name": instance.object_repr, "what": _what(instance.change_message)},
    )


def _what(message: str) -> Any:
    """Names of the fields that were changed, as Django's log has them."""
    try:
        return json.loads(message) if message else []
    except ValueError:
        return message[:500]


@admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
def delete_selected(modeladmin: Any, request: Any, queryset: Any) -> Any:
    """Django's, with an entry for each row that is gone (of several its log sends no signal)."""
    if not request.POST.get("post"):
        return django_delete_selected(modeladmin, request, queryset)
    label = modeladmin.model._meta.label_lower
    with transaction.atomic():
        names = {row.pk: str(row) for row in queryset}
        answer = django_delete_selected(modeladmin, request, queryset)
        left = set(
            modeladmin.model._default_manager.filter(pk__in=names).values_list("pk", flat=True)
        )
        gone = {pk: name for pk, name in names.items() if pk not in left}
        for pk, name in gone.items() if len(names) > 1 else ():
            audit_append(
                event=EVENTS[DELETION],
                actor=request.user.get_username(),
                obj=f"{label}:{pk}"[:120],
                payload={"name": name[:200], "what": []},
            )
    return answer


def connect() -> None:
    """Connect the receiver and replace the action; called from the app's `ready()`."""
    post_save.connect(_noted, sender=LogEntry, dispatch_uid="approvals.console")
    admin.site.add_action(delete_selected, "delete_selected")
