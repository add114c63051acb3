"""The admin console looks, it does not touch: every row here is evidence."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from approvals.audit import audit_append
from approvals.models import (
    AgentAccess,
    AuditAnchor,
    AuditEntry,
    Decision,
    DriverBinding,
    Effect,
    Execution,
    Investigation,
    Proposal,
    ProposalTransition,
)


class EvidenceAdmin(ModelAdmin):
    """Read-only, for superusers too."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Proposal)
class ProposalAdmin(EvidenceAdmin):
    list_display = ("id", "title", "target", "risk", "state", "requested_by", "created_at")
    list_filter = ("state", "risk", "kind")
    list_select_related = ("requested_by",)
    search_fields = ("title", "target", "digest")
    # A drill looks like any other here, too.
    exclude = ("is_drill",)


@admin.register(ProposalTransition)
class ProposalTransitionAdmin(EvidenceAdmin):
    list_display = ("id", "proposal", "from_state", "to_state", "actor", "at")
    list_filter = ("to_state",)
    list_select_related = ("proposal", "actor")


@admin.register(Decision)
class DecisionAdmin(EvidenceAdmin):
    list_display = ("id", "proposal", "user", "verdict", "reason", "at")
    list_filter = ("verdict",)
    list_select_related = ("proposal", "user")


@admin.register(Execution)
class ExecutionAdmin(EvidenceAdmin):
    list_display = ("idempotency_key", "proposal", "outcome", "started_at", "finished_at")
    list_filter = ("outcome",)
    list_select_related = ("proposal",)


@admin.register(Effect)
class EffectAdmin(EvidenceAdmin):
    list_display = ("proposal", "tag", "before", "after", "threshold", "verdict", "measured_at")
    list_filter = ("verdict",)
    list_select_related = ("proposal",)


@admin.register(Investigation)
class InvestigationAdmin(EvidenceAdmin):
    list_display = ("alarm", "outcome", "with_model", "proposal", "attempts", "started_at")
    list_filter = ("outcome", "with_model")
    list_select_related = ("alarm__rule", "alarm__point", "proposal")


@admin.register(AuditEntry)
class AuditEntryAdmin(EvidenceAdmin):
    list_display = ("seq", "at", "actor", "event", "object")
    list_filter = ("event",)
    search_fields = ("actor", "event", "object")
    ordering = ("-seq",)


@admin.register(AuditAnchor)
class AuditAnchorAdmin(EvidenceAdmin):
    list_display = ("day", "seq", "hash", "made_at")
    ordering = ("-day",)


@admin.register(DriverBinding)
class DriverBindingAdmin(ModelAdmin):
    """Who writes which points; every change is in the audit trail."""

    list_display = ("name", "pattern", "driver", "priority", "is_dry_run", "is_active")
    list_filter = ("driver", "is_dry_run", "is_active")
    search_fields = ("name", "pattern")

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """Store and record it."""
        super().save_model(request, obj, form, change)
        _audit_binding(request, obj, "changed" if change else "added")

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Delete and record it."""
        _audit_binding(request, obj, "removed")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete and record each."""
        for binding in queryset:
            self.delete_model(request, binding)


def _audit_binding(request: HttpRequest, binding: Any, what: str) -> None:
    audit_append(
        event=f"driver.{what}",
        actor=request.user.get_username(),
        obj=f"driver:{binding.name}",
        payload={
            "driver": binding.driver,
            "pattern": binding.pattern,
            "settings": binding.settings,
            "secret_name": binding.secret_name,
            "priority": binding.priority,
            "is_dry_run": binding.is_dry_run,
            "is_active": binding.is_active,
        },
    )


@admin.register(AgentAccess)
class AgentAccessAdmin(ModelAdmin):
    """Outside agents; `manage.py create_agent` issues their tokens, here they are ended."""

    list_display = ("name", "account", "token_prefix", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("account",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.action(description="Revoke the token")
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        """End the tokens of the chosen agents at once."""
        from approvals.outside.access import agent_revoke

        if not request.user.is_superuser:
            return
        for access in queryset.filter(revoked_at=None):
            agent_revoke(access=access, user=request.user)


from approvals import (  # noqa: E402  (they register)
    admin_execution,  # noqa: F401
    admin_notify,  # noqa: F401
    admin_policy,  # noqa: F401
    admin_signing,  # noqa: F401
    admin_team,  # noqa: F401
)
