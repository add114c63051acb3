"""The data list: every quantity that is measured or written."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from facilities.tags import validate_point_tag, validate_quantity

from .asset import Asset
from .source import Source


class Stage(models.TextChoices):
    """How far a point may be trusted."""

    RAW = "raw", "Raw"
    VERIFIED = "verified", "Verified"
    AI_READY = "ai_ready", "AI-ready"


class Point(models.Model):
    """One quantity of one asset. Values carry the point's unit (UCUM)."""

    tag = models.CharField(max_length=141, unique=True, validators=[validate_point_tag])
    asset = models.ForeignKey(Asset, models.CASCADE, related_name="points")
    name = models.CharField(max_length=200)
    quantity = models.CharField(max_length=60, validators=[validate_quantity], db_index=True)
    brick_class = models.CharField(max_length=100, blank=True)
    haystack = models.CharField(
        max_length=200, blank=True, help_text="Haystack tags, for example air temp sensor discharge"
    )
    unit = models.CharField(max_length=20, blank=True, help_text="UCUM code, for example Cel, W, %")
    min_value = models.FloatField(null=True, blank=True)
    max_value = models.FloatField(null=True, blank=True)
    precision = models.FloatField(null=True, blank=True, help_text="Smallest step, in the unit")
    sampling_interval_s = models.FloatField(null=True, blank=True)
    response_time_s = models.FloatField(
        null=True, blank=True, help_text="Time constant of the sensor in seconds"
    )
    source_interface = models.CharField(
        max_length=40, blank=True, help_text="For example bacnet, modbus, redfish, snmp"
    )
    source = models.ForeignKey(
        Source,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="points",
        help_text="Who sends it",
    )
    owner = models.CharField(max_length=100, blank=True, help_text="Whom to call about it")
    verified = models.BooleanField(
        default=True, help_text="A person has accepted what this line says"
    )
    verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    verified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    auto_registered = models.BooleanField(default=False, editable=False)
    writable = models.BooleanField(default=False)
    write_min = models.FloatField(null=True, blank=True)
    write_max = models.FloatField(null=True, blank=True)
    enum = models.JSONField(
        null=True, blank=True, help_text='Names of values, for example {"0": "off", "1": "on"}'
    )

    class Meta:
        ordering = ("tag",)
        constraints = [
            models.UniqueConstraint(
                fields=("asset", "quantity"), name="facilities_point_quantity_unique"
            )
        ]

    def __str__(self) -> str:
        return self.tag

    def get_absolute_url(self) -> str:
        """Page of the point."""
        return reverse("facilities:point", args=[self.tag])

    def clean(self) -> None:
        """Refuse a tag that is not the asset's, and limits that contradict one another."""
        errors: dict[str, str] = {}
        if self.tag != f"{self.asset.tag}.{self.quantity}":
            errors["tag"] = (
                f"Point {self.tag}: asset {self.asset.tag} and quantity {self.quantity} "
                f"make the tag {self.asset.tag}.{self.quantity}."
            )
        if (
            self.min_value is not None
            and self.max_value is not None
            and self.min_value >= self.max_value
        ):
            errors["min_value"] = (
                f"Point {self.tag}: lower range limit {self.min_value:g} is not below the upper "
                f"limit {self.max_value:g}."
            )
        errors.update(self._write_limit_errors())
        if errors:
            raise ValidationError(errors)

    def _write_limit_errors(self) -> dict[str, str]:
        if not self.writable:
            return {}
        if self.write_min is None or self.write_max is None:
            return {"write_min": f"Point {self.tag} is writable and needs both write limits."}
        if self.write_min >= self.write_max:
            return {
                "write_min": f"Point {self.tag}: lower write limit {self.write_min:g} is not below "
                f"the upper write limit {self.write_max:g}."
            }
        if self.min_value is not None and self.write_min < self.min_value:
            return {
                "write_min": f"Point {self.tag}: write limit {self.write_min:g} is below its range, "
                f"which starts at {self.min_value:g}."
            }
        if self.max_value is not None and self.write_max > self.max_value:
            return {
                "write_max": f"Point {self.tag}: write limit {self.write_max:g} is above its range, "
                f"which ends at {self.max_value:g}."
            }
        return {}


class DataListVersion(models.Model):
    """One row whose number changes with every change to points, assets or alarm rules.

    Statement triggers in the database keep it, so bulk and raw changes count too. Processes
    compare it with the number their point cache was read at.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.version)
