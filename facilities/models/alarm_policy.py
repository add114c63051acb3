"""What a site decides once about its alarms: one policy row, and the air envelopes."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class AlarmPolicy(models.Model):
    """The one row of numbers behind suppression, chattering and shelving. Seconds, counts."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    suppress_window_s = models.FloatField(
        default=900,
        validators=[MinValueValidator(0)],
        help_text="A consequence appears within this time after its cause; assumed: a hall without "
        "cooling passes 27 °C in 1 to 10 minutes",
    )
    suppress_before_s = models.FloatField(
        default=60,
        validators=[MinValueValidator(0)],
        help_text="A consequence may be seen this much before its cause (delays differ); assumed",
    )
    release_after_s = models.FloatField(
        default=300,
        validators=[MinValueValidator(0)],
        help_text="A consequence that outlasts its cleared cause by this much is told; assumed: "
        "air follows a restarted unit within minutes",
    )
    chatter_count = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(2)],
        help_text="This many raises within the window chatter (ISA-18.2: three in one minute)",
    )
    chatter_window_s = models.FloatField(default=60, validators=[MinValueValidator(1)])
    chatter_shelve_s = models.FloatField(
        default=600,
        validators=[MinValueValidator(0)],
        help_text="How long a chattering alarm is shelved; 0 only counts. Assumed",
    )
    chatter_shelves_critical = models.BooleanField(default=False)
    max_shelve_s = models.FloatField(
        default=8 * 3600,
        validators=[MinValueValidator(60)],
        help_text="The longest an operator may shelve; assumed: one shift",
    )

    class Meta:
        verbose_name_plural = "alarm policy"

    def __str__(self) -> str:
        return "Alarm policy"

    @classmethod
    def current(cls) -> AlarmPolicy:
        """Return the row, or the defaults where nobody has saved one. One query."""
        return cls.objects.filter(pk=1).first() or cls()


class Envelope(models.Model):
    """Limits of the air at a rack's inlet for one equipment class. °C, % relative humidity.

    The rows made by the migration were recalled from ASHRAE TC 9.9 (2021) and are marked unchecked:
    compare them with the book, correct them here and tick ``checked``.
    """

    name = models.CharField(max_length=20, help_text="Equipment class: A1 … A4, H1, or your own")
    range = models.CharField(
        max_length=11, choices=[("recommended", "Recommended"), ("allowable", "Allowable")]
    )
    low_c = models.FloatField()
    high_c = models.FloatField()
    dew_point_low_c = models.FloatField(null=True, blank=True)
    dew_point_high_c = models.FloatField(null=True, blank=True)
    rh_low_pct = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    rh_high_pct = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    basis = models.CharField(max_length=300, blank=True)
    checked = models.BooleanField(default=False, help_text="Compared with the published table")

    class Meta:
        ordering = ("name", "-range")
        constraints = [
            models.UniqueConstraint(fields=("name", "range"), name="facilities_envelope_unique")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.range}"

    def clean(self) -> None:
        """Refuse limits that contradict one another."""
        pairs = (
            ("low_c", self.low_c, self.high_c),
            ("dew_point_low_c", self.dew_point_low_c, self.dew_point_high_c),
            ("rh_low_pct", self.rh_low_pct, self.rh_high_pct),
        )
        for field, low, high in pairs:
            if low is not None and high is not None and low >= high:
                raise ValidationError(
                    {field: f"Envelope {self}: lower limit {low:g} is not below {high:g}."}
                )
