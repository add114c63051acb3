"""Which driver writes which points."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from approvals.driver_settings import SETTINGS, problems_of


class DriverBinding(models.Model):
    """Points whose tag fits `pattern` (`crac-*.fan_speed_sp_pct`) are written by `driver`.

    The first active binding by priority and name counts; without any, the demo plant's driver.
    `secret_name` is a key of OPS_DRIVER_SECRETS: the secret itself is never stored here.
    """

    name = models.SlugField(max_length=60, unique=True)
    driver = models.CharField(max_length=20, choices=[(name, name) for name in SETTINGS])
    pattern = models.CharField(max_length=120, help_text="Point tags, with * and ?.")
    settings = models.JSONField(default=dict, blank=True)
    secret_name = models.CharField(
        max_length=60, blank=True, help_text="Key in OPS_DRIVER_SECRETS, not the secret."
    )
    priority = models.PositiveIntegerField(default=100, help_text="The lowest counts.")
    is_dry_run = models.BooleanField(
        default=True, help_text="Say what would be sent and write nothing."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ("priority", "name")

    def __str__(self) -> str:
        return f"{self.name}: {self.pattern} by {self.driver}"

    def clean(self) -> None:
        """Refuse settings that the driver could not work with."""
        if problems := problems_of(self.driver, self.settings):
            raise ValidationError({"settings": problems})
