"""Outside agents: who may talk to the platform by token, and how much."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class AgentAccess(models.Model):
    """One outside agent's token, kept as a hash.

    It acts as a service account of its own, which cannot sign in, decides nothing and is the
    requester of what it proposes. `scopes` of documents are the account's groups.
    """

    name = models.SlugField(max_length=60, unique=True)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="agent_access"
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    token_prefix = models.CharField(max_length=12, editable=False)
    calls_per_minute = models.PositiveIntegerField(default=60)
    proposals_per_hour = models.PositiveIntegerField(default=6)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "agent accesses"

    def __str__(self) -> str:
        return self.name
