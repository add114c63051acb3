"""Equipment and how it is connected."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from facilities.tags import validate_asset_tag

from .site import Hall, Rack, Site


class AssetKind(models.TextChoices):
    """Kinds of equipment."""

    RACK = "rack", "Rack"
    CRAC = "crac", "CRAC"
    CHILLER = "chiller", "Chiller"
    PUMP = "pump", "Pump"
    CDU = "cdu", "Coolant distribution unit"
    TOWER = "tower", "Cooling tower"
    WEATHER = "weather", "Weather station"
    UPS = "ups", "UPS"
    PDU = "pdu", "PDU"
    GENERATOR = "generator", "Generator"
    UTILITY = "utility", "Utility feed"
    SERVER = "server", "Server"
    GPU = "gpu", "GPU"
    LEAF = "leaf", "Leaf switch"
    SPINE = "spine", "Spine switch"
    LINK = "link", "Network link"
    STORAGE = "storage", "Storage"
    JOB = "job", "Job"
    LEAK_DETECTOR = "leak_detector", "Leak detector"
    FIRE_PANEL = "fire_panel", "Fire panel"
    HALL = "hall", "Hall"
    SOURCE = "source", "Source of readings"
    OTHER = "other", "Other"


class LinkKind(models.TextChoices):
    """What flows from source to target."""

    POWER = "power", "Power"
    COOLING = "cooling", "Cooling"
    NETWORK = "network", "Network"


class Asset(models.Model):
    """One piece of equipment, or a place that has points (rack, hall)."""

    tag = models.CharField(max_length=80, unique=True, validators=[validate_asset_tag])
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=AssetKind.choices, db_index=True)
    site = models.ForeignKey(Site, models.CASCADE, related_name="assets")
    hall = models.ForeignKey(Hall, models.SET_NULL, null=True, blank=True, related_name="assets")
    rack = models.ForeignKey(Rack, models.SET_NULL, null=True, blank=True, related_name="assets")
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="children"
    )
    attributes = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("tag",)
        permissions = [("inject_fault", "Can make the demo plant fail")]

    def __str__(self) -> str:
        return self.tag

    def get_absolute_url(self) -> str:
        """Page of the asset."""
        return reverse("facilities:asset", args=[self.tag])

    def clean(self) -> None:
        """Refuse places that contradict one another and an asset above itself."""
        if self.hall and self.hall.site_id != self.site_id:
            raise ValidationError(
                {
                    "hall": f"Asset {self.tag}: hall {self.hall.slug} is not in site {self.site.slug}."
                }
            )
        if self.rack and self.hall and self.rack.hall_id != self.hall_id:
            raise ValidationError(
                {
                    "rack": f"Asset {self.tag}: rack {self.rack.tag} stands in hall "
                    f"{self.rack.hall.slug}, not in {self.hall.slug}."
                }
            )
        above = self.parent
        while above is not None:
            if above.pk == self.pk and self.pk is not None:
                raise ValidationError(
                    {"parent": f"Asset {self.tag}: parent {self.parent} is below it already."}
                )
            above = above.parent


class AssetLink(models.Model):
    """A directed connection: the source feeds, cools or carries the target."""

    source = models.ForeignKey(Asset, models.CASCADE, related_name="links_out")
    target = models.ForeignKey(Asset, models.CASCADE, related_name="links_in")
    kind = models.CharField(max_length=10, choices=LinkKind.choices)
    attributes = models.JSONField(
        default=dict,
        blank=True,
        help_text="Of a network link: medium, layer, capacity_gbps, private, redundancy",
    )

    class Meta:
        ordering = ("kind", "source", "target")
        constraints = [
            models.UniqueConstraint(
                fields=("source", "target", "kind"), name="facilities_assetlink_unique"
            ),
            models.CheckConstraint(
                condition=~models.Q(source=models.F("target")), name="facilities_assetlink_not_self"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.target} ({self.kind})"

    def clean(self) -> None:
        """Refuse a link from an asset to itself."""
        if self.source_id == self.target_id:
            raise ValidationError(
                f"Link {self.kind}: source and target are both {self.source}; name two assets."
            )
