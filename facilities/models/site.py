"""Where things stand: site, hall, rack."""

from __future__ import annotations

import zoneinfo

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from facilities.tags import validate_asset_tag


def validate_timezone(value: str) -> None:
    """Refuse a name that the time zone database does not know."""
    if value not in zoneinfo.available_timezones():
        raise ValidationError(f"{value!r} is not a time zone name such as Europe/Berlin.")


class Site(models.Model):
    """A data centre."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.name


class Hall(models.Model):
    """A room of a site. Its slug is also the tag of its asset of kind hall."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="halls")
    slug = models.SlugField(unique=True, max_length=80)
    name = models.CharField(max_length=200)
    width_m = models.FloatField(validators=[MinValueValidator(0.1)])
    depth_m = models.FloatField(validators=[MinValueValidator(0.1)])

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.name


class Rack(models.Model):
    """A rack's place in its hall. An asset of kind rack has the same tag."""

    hall = models.ForeignKey(Hall, models.CASCADE, related_name="racks")
    tag = models.CharField(max_length=80, unique=True, validators=[validate_asset_tag])
    row = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField()
    rated_w = models.FloatField(validators=[MinValueValidator(0)])
    x_m = models.FloatField()
    y_m = models.FloatField()

    class Meta:
        ordering = ("hall", "row", "position")
        constraints = [
            # Deferred, so that two racks can swap places in one transaction.
            models.UniqueConstraint(
                fields=("hall", "row", "position"),
                name="facilities_rack_place_unique",
                deferrable=models.Deferrable.DEFERRED,
            )
        ]

    def __str__(self) -> str:
        return self.tag

    def clean(self) -> None:
        """Refuse a place outside the hall."""
        for value, limit, axis, side in (
            (self.x_m, self.hall.width_m, "x_m", "wide"),
            (self.y_m, self.hall.depth_m, "y_m", "deep"),
        ):
            if value is not None and not 0 <= value <= limit:
                raise ValidationError(
                    {
                        axis: f"Rack {self.tag}: {axis} {value:g} is outside hall "
                        f"{self.hall.slug}, which is {limit:g} m {side}."
                    }
                )
