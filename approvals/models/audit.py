"""The append-only, hash-chained trail."""

from __future__ import annotations

from typing import Any

from django.db import models

from approvals.canonical import digest_of, iso_utc
from approvals.chain import GENESIS

__all__ = ["GENESIS", "AuditAnchor", "AuditEntry"]


class AuditEntry(models.Model):
    """One fact.

    `hash` covers every field and the hash before it; the database refuses UPDATE, DELETE and
    TRUNCATE.

    `actor` is a name, not a foreign key: the trail outlives accounts. `object` is e.g.
    `proposal:12`.
    """

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    event = models.CharField(max_length=60)
    object = models.CharField(max_length=120, blank=True)
    payload = models.JSONField(default=dict)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("seq",)
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(fields=("object", "seq"), name="approvals_audit_object"),
            models.Index(fields=("event", "seq"), name="approvals_audit_event"),
            models.Index(fields=("actor", "seq"), name="approvals_audit_actor"),
        )

    def __str__(self) -> str:
        return f"{self.seq} {self.event}"

    def content(self) -> dict[str, Any]:
        """Everything the hash covers, in a form that has one canonical spelling."""
        return {
            "seq": self.seq,
            "at": iso_utc(self.at),
            "actor": self.actor,
            "event": self.event,
            "object": self.object,
            "payload": self.payload,
            "prev_hash": self.prev_hash,
        }

    def computed_hash(self) -> str:
        return digest_of(self.content())


class AuditAnchor(models.Model):
    """The newest entry of a finished UTC day; the database refuses UPDATE and DELETE."""

    day = models.DateField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("day",)

    def __str__(self) -> str:
        return f"{self.day}: entry {self.seq}"
