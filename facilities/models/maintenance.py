"""When alarms are recorded but tell nobody: planned work, and alarms put on the shelf."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from .alarm import AlarmRule
from .asset import Asset, AssetKind
from .point import Point
from .site import Hall


class MaintenanceWindow(models.Model):
    """Planned work on an asset (with what is part of it), a hall or a kind of asset.

    Named scopes must all fit. Alarms raised inside are recorded, marked and told to nobody until
    the window ends. Alarms that protect people are let through unless ``covers_safety``.
    """

    asset = models.ForeignKey(Asset, models.CASCADE, null=True, blank=True, related_name="+")
    hall = models.ForeignKey(Hall, models.CASCADE, null=True, blank=True, related_name="+")
    asset_kind = models.CharField(max_length=20, choices=AssetKind.choices, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=300)
    covers_safety = models.BooleanField(
        default=False, help_text="Holds back fire and leak alarms too; for tests of those systems"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-starts_at", "-id")
        indexes = [models.Index(fields=("ends_at",), name="facilities_window_ends")]

    def __str__(self) -> str:
        return f"{self.scope}: {self.reason}"

    @property
    def scope(self) -> str:
        """What the window covers, for people."""
        parts = [
            str(self.asset) if self.asset_id else "",
            f"hall {self.hall.slug}" if self.hall is not None else "",
            f"every {self.get_asset_kind_display()}" if self.asset_kind else "",
        ]
        return ", ".join(part for part in parts if part)

    def clean(self) -> None:
        """Refuse a window without scope, and one that ends before it starts."""
        if not (self.asset_id or self.hall_id or self.asset_kind):
            raise ValidationError("A window names an asset, a hall or a kind of asset.")
        if self.ends_at <= self.starts_at:
            raise ValidationError(
                {
                    "ends_at": f"The end {self.ends_at:%Y-%m-%d %H:%M} is not after the start "
                    f"{self.starts_at:%Y-%m-%d %H:%M}."
                }
            )


class Shelf(models.Model):
    """One (point, rule) put aside until a time: by an operator, or because it chatters."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="+")
    rule = models.ForeignKey(AlarmRule, models.CASCADE, related_name="+")
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()
    reason = models.CharField(max_length=300)
    automatic = models.BooleanField(default=False)
    shelved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name_plural = "shelves"
        ordering = ("until", "id")
        constraints = [
            models.UniqueConstraint(fields=("point", "rule"), name="facilities_shelf_unique")
        ]

    def __str__(self) -> str:
        return f"{self.rule} on {self.point} until {self.until.isoformat()}"
