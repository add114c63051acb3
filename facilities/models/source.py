"""Who may push readings, and the last things each of them said."""

from __future__ import annotations

import ipaddress

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

AUTO_REGISTER_LIMIT = 1_000
"""Points that one source may bring into the data list by itself; assumed."""

KEPT_MESSAGES = 20
"""Messages kept per source for previews; assumed."""

HEARTBEAT_GRACE_S = 10.0
"""``last_seen_at`` is written at most this often, so a shorter silence cannot be seen."""


class Source(models.Model):
    """A sender of readings, known by a token of which only the hash is stored."""

    name = models.CharField(max_length=100, unique=True)
    owner = models.CharField(max_length=100, blank=True, help_text="Whom to call about it")
    token_hash = models.CharField(
        max_length=64, unique=True, editable=False, help_text="SHA-256 of the token, hexadecimal"
    )
    token_prefix = models.CharField(max_length=12, editable=False)
    active = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    allowed_networks = models.JSONField(
        default=list,
        blank=True,
        help_text='Networks it may push from, for example ["10.20.0.0/16"]; empty: any',
    )
    max_readings_per_s = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Readings per second it may push; more is answered 429. Empty: no limit",
    )
    heartbeat_timeout_s = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(HEARTBEAT_GRACE_S)],
        help_text="Seconds of silence after which an alarm is raised. Empty: none",
    )
    auto_register = models.BooleanField(
        default=False, help_text="Unknown series become unverified points"
    )
    auto_register_limit = models.PositiveIntegerField(
        default=AUTO_REGISTER_LIMIT,
        validators=[MaxValueValidator(100_000)],
        help_text="Points it may bring into the data list by itself",
    )
    kept_messages = models.PositiveSmallIntegerField(
        default=KEPT_MESSAGES,
        validators=[MaxValueValidator(200)],
        help_text="Last messages kept for previews",
    )
    asset = models.OneToOneField(
        "facilities.Asset",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="as_source",
        editable=False,
        help_text="The source itself as equipment: its heartbeat, and series without an asset",
    )
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        permissions = [("manage_sources", "Can manage sources")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Page of the source."""
        return reverse("facilities:source", args=[self.pk])

    @property
    def expired(self) -> bool:
        """Whether the token is past its date."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def silent_s(self) -> float | None:
        """Seconds since it was last heard (None: never)."""
        if self.last_seen_at is None:
            return None
        return max((timezone.now() - self.last_seen_at).total_seconds(), 0.0)

    @property
    def silent(self) -> bool:
        """Whether the heartbeat is overdue; a source that was never heard counts from creation."""
        if self.heartbeat_timeout_s is None or not self.active:
            return False
        heard = self.last_seen_at or self.created_at
        return (timezone.now() - heard).total_seconds() > self.heartbeat_timeout_s

    def clean(self) -> None:
        """Refuse networks that are none, and names that no page could show."""
        if not self.name.isprintable() or self.name != self.name.strip():
            raise ValidationError(
                {"name": f"Source {self.name!r}: a name is printable, without spaces around it."}
            )
        self.allowed_networks = clean_networks(self.name, self.allowed_networks)


def clean_networks(name: str, networks: object) -> list[str]:
    """Return the networks in their canonical spelling. Raises ``ValidationError``."""
    if not isinstance(networks, list) or not all(isinstance(n, str) for n in networks):
        raise ValidationError(
            {"allowed_networks": f'Source {name}: networks are a list such as ["10.20.0.0/16"].'}
        )
    found = []
    for text in networks:
        try:
            found.append(str(ipaddress.ip_network(text.strip())))
        except ValueError as error:
            raise ValidationError(
                {"allowed_networks": f"Source {name}: network {text[:60]!r}: {error}."}
            ) from error
    return found


class SourceMessage(models.Model):
    """One of the last messages of a source, as it came and as it was decoded; for previews.

    ``samples`` holds up to 500 of ``[series key, ts_us, value or null, text or null]``; ``hints``
    the units that the format carried.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="messages")
    at = models.DateTimeField()
    format = models.CharField(max_length=30, blank=True)
    raw = models.TextField(blank=True, help_text="The body's first 16 KiB as text")
    size = models.PositiveIntegerField(default=0, help_text="Bytes of the body after decompression")
    samples = models.JSONField(default=list)
    hints = models.JSONField(default=dict)
    total = models.PositiveIntegerField(default=0, help_text="Samples in the whole message")

    class Meta:
        ordering = ("-at", "-id")
        indexes = [models.Index(fields=("source", "-at"), name="facilities_message_latest")]

    def __str__(self) -> str:
        return f"{self.source} {self.at.isoformat()}"
