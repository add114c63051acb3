"""Who is told of what, by which way, and whether it got there."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from approvals.models.proposal import Proposal


class Channel(models.TextChoices):
    BROWSER = "browser", "Browser"
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class NotificationRule(models.Model):
    """One person's wish (or, without a person, the team's): these events by this channel.

    `address` is a mail address or URL; '' for the browser. `secret_name` is a key of
    OPS_DRIVER_SECRETS that signs webhooks.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="notification_rules",
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    address = models.CharField(max_length=500, blank=True)
    secret_name = models.CharField(max_length=60, blank=True)
    events = models.JSONField(default=list)
    least_risk = models.CharField(max_length=10, default="low")
    is_active = models.BooleanField(default=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.channel} {self.address}".strip()


class Delivery(models.Model):
    """One message on its way. `state`: waiting, sent, failed (given up)."""

    rule = models.ForeignKey(NotificationRule, on_delete=models.CASCADE, related_name="deliveries")
    proposal = models.ForeignKey(
        Proposal, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    event = models.CharField(max_length=40)
    message = models.JSONField(default=dict)
    key = models.CharField(max_length=120)
    state = models.CharField(max_length=10, default="waiting")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    made_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = (
            models.UniqueConstraint(fields=("rule", "key"), name="approvals_delivered_once"),
        )
        indexes = (models.Index(fields=("state", "next_at"), name="approvals_delivery_due"),)

    def __str__(self) -> str:
        return f"{self.event} by {self.rule_id}"
