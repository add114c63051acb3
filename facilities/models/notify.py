"""Who is told of an alarm, in what order, and what became of each message."""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone

from .alarm import Alarm, Severity
from .asset import AssetKind
from .site import Hall


def new_salt() -> str:
    """Return 128 random bits; a channel's signing secret is derived from them."""
    return secrets.token_hex(16)


class ChannelKind(models.TextChoices):
    """How a message travels."""

    WEBHOOK = "webhook", "Webhook"
    EMAIL = "email", "E-mail"


class NotificationChannel(models.Model):
    """A webhook address or a list of e-mail addresses.

    The signing secret of a webhook is not stored: it is derived from the server's secret key and
    ``salt``, shown once when the channel is made, and changed by changing the salt.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=7, choices=ChannelKind.choices)
    url = models.CharField(max_length=500, blank=True, help_text="https://… of a webhook")
    recipients = models.TextField(blank=True, help_text="E-mail addresses, one a line")
    enabled = models.BooleanField(default=True)
    salt = models.CharField(max_length=32, default=new_salt, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a webhook without a usable address and e-mail without a recipient."""
        from facilities.alarms.notify.email import addresses
        from facilities.alarms.notify.targets import Refused, check_url

        try:
            if self.kind == ChannelKind.WEBHOOK:
                check_url(self.url)
            elif not addresses(self.recipients):
                raise ValidationError({"recipients": f"Channel {self.name}: name a recipient."})
        except Refused as error:
            raise ValidationError({"url": f"Channel {self.name}: {error}"}) from error


class EscalationChain(models.Model):
    """Steps that are taken one after another until somebody acknowledges.

    The first chain (by ``position``) whose conditions fit an alarm is the one that is used.
    """

    name = models.CharField(max_length=100, unique=True)
    position = models.PositiveSmallIntegerField(default=100, help_text="Lowest is tried first")
    min_severity = models.CharField(
        max_length=8, choices=Severity.choices, default=Severity.HIGH, help_text="And worse"
    )
    hall = models.ForeignKey(Hall, models.CASCADE, null=True, blank=True, related_name="+")
    asset_kind = models.CharField(max_length=20, choices=AssetKind.choices, blank=True)
    repeats = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(5)], help_text="Times the steps start again"
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("position", "name")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(repeats__lte=5), name="facilities_chain_repeats"
            )
        ]

    def __str__(self) -> str:
        return self.name


class EscalationStep(models.Model):
    """Wait, then tell one channel, one person or everybody of a role (by e-mail)."""

    chain = models.ForeignKey(EscalationChain, models.CASCADE, related_name="steps")
    order = models.PositiveSmallIntegerField()
    wait_s = models.PositiveIntegerField(default=0, help_text="Seconds before this step")
    channel = models.ForeignKey(
        NotificationChannel, models.PROTECT, null=True, blank=True, related_name="steps"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    role = models.CharField(max_length=40, blank=True, help_text="Everybody of this role")

    class Meta:
        ordering = ("chain", "order")
        constraints = [
            models.UniqueConstraint(fields=("chain", "order"), name="facilities_step_order"),
            models.CheckConstraint(
                condition=models.Q(channel__isnull=False, user__isnull=True, role="")
                | models.Q(channel__isnull=True, user__isnull=False, role="")
                | (models.Q(channel__isnull=True, user__isnull=True) & ~models.Q(role="")),
                name="facilities_step_one_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.chain} {self.order}"


class Escalation(models.Model):
    """Where one alarm stands on its chain. A worker claims a step by moving ``due_at`` on."""

    alarm = models.OneToOneField(Alarm, models.CASCADE, related_name="escalation")
    chain = models.ForeignKey(EscalationChain, models.CASCADE, related_name="+")
    steps_done = models.PositiveSmallIntegerField(default=0, help_text="Over all rounds")
    due_at = models.DateTimeField(null=True, help_text="Next step; empty when it is over")
    started_at = models.DateTimeField()
    ended = models.CharField(max_length=60, blank=True, help_text="Why it is over")

    class Meta:
        indexes = [
            models.Index(
                fields=("due_at",),
                condition=models.Q(due_at__isnull=False),
                name="facilities_escalation_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.chain} for {self.alarm}"


class DeliveryState(models.TextChoices):
    """What became of a message."""

    PENDING = "pending", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One message to one target, kept with every attempt's outcome."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, help_text="Idempotency key")
    channel = models.ForeignKey(
        NotificationChannel, models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    alarm = models.ForeignKey(
        Alarm, models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    kind = models.CharField(max_length=7, choices=ChannelKind.choices)
    target = models.CharField(max_length=500, help_text="Address")
    event = models.CharField(max_length=20)
    body = models.JSONField()
    state = models.CharField(
        max_length=7, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=300, blank=True, help_text="Answer or error of the last")
    duration_ms = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-created_at", "-id")
        indexes = [
            models.Index(
                fields=("next_attempt_at",),
                condition=models.Q(next_attempt_at__isnull=False),
                name="facilities_delivery_due",
            ),
            models.Index(fields=("-created_at", "-id"), name="facilities_delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.target}"
