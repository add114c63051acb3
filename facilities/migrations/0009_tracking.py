import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("facilities", "0008_asset_kinds")]

    operations = [
        migrations.CreateModel(
            name="TwinTracker",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("owner", models.CharField(blank=True, max_length=100)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("at", models.DateTimeField(blank=True, help_text="Time of the state", null=True)),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True, help_text="When it last began anew from a snapshot", null=True
                    ),
                ),
                ("arrays", models.BinaryField(blank=True, null=True)),
                (
                    "memory",
                    models.BinaryField(
                        blank=True,
                        help_text="Filters and trends, for a restart; saved each minute",
                        null=True,
                    ),
                ),
                ("memory_at", models.DateTimeField(blank=True, null=True)),
                ("model_version", models.CharField(blank=True, max_length=40)),
                ("turns", models.BigIntegerField(default=0)),
                (
                    "cost_ms",
                    models.FloatField(default=0, help_text="Processor time of a turn, mean"),
                ),
                ("busy_fraction", models.FloatField(default=0, help_text="Share of one core")),
                (
                    "waited_s",
                    models.FloatField(default=0, help_text="Waited for the last snapshot"),
                ),
                (
                    "complete",
                    models.BooleanField(default=False, help_text="The last snapshot was complete"),
                ),
                (
                    "problem",
                    models.CharField(blank=True, help_text="Why it stands still", max_length=300),
                ),
                (
                    "points",
                    models.JSONField(
                        default=dict,
                        help_text="Followed points, and the gaps of slow sensors, as columns",
                    ),
                ),
                (
                    "estimates",
                    models.JSONField(
                        default=list, help_text="Estimated parameters with their uncertainty"
                    ),
                ),
                (
                    "fitness",
                    models.JSONField(
                        default=dict,
                        help_text="By quantity: CV(RMSE), NMBE, RMSE of this hour and the last",
                    ),
                ),
                (
                    "sums",
                    models.JSONField(
                        default=dict, help_text="Sums behind the fitness, by hour and horizon"
                    ),
                ),
                (
                    "costs",
                    models.JSONField(
                        default=dict, help_text="What slow sensors cost, by simulation"
                    ),
                ),
                ("costs_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="TwinAccuracy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField(db_index=True)),
                (
                    "quantity",
                    models.CharField(help_text="Kind and quantity: rack.inlet_c", max_length=80),
                ),
                (
                    "horizon",
                    models.CharField(
                        choices=[("step", "One step ahead"), ("free", "30 minutes, uncorrected")],
                        max_length=4,
                    ),
                ),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("samples", models.PositiveIntegerField()),
                ("mean", models.FloatField(help_text="Mean of the measured values, in the unit")),
                ("rmse", models.FloatField(help_text="In the unit")),
                (
                    "cv_rmse_pct",
                    models.FloatField(help_text="RMSE by the mean; null at mean 0", null=True),
                ),
                (
                    "nmbe_pct",
                    models.FloatField(
                        help_text="Mean of predicted - measured by the mean", null=True
                    ),
                ),
                (
                    "passed",
                    models.BooleanField(
                        help_text="Within the hourly limits of ASHRAE Guideline 14"
                    ),
                ),
            ],
            options={
                "ordering": ("-hour", "quantity", "horizon"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "quantity", "horizon"),
                        name="facilities_twinaccuracy_unique",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TwinFinding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("filter", "Filter fouls"),
                            ("fan", "Fan fails"),
                            ("coil", "Coil fouls"),
                            ("sensor", "Sensor drifts"),
                            ("battery", "Battery weakens"),
                            ("paste", "Thermal paste decays"),
                        ],
                        max_length=8,
                    ),
                ),
                ("parameter", models.CharField(help_text="What is trending", max_length=80)),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("value", models.FloatField(help_text="Estimate when last seen")),
                ("sigma", models.FloatField(help_text="Its standard deviation")),
                ("slope_per_h", models.FloatField()),
                ("slope_sigma_per_h", models.FloatField()),
                ("level", models.FloatField(help_text="Where the alarm, or the limit, stands")),
                ("found_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                (
                    "expected_at",
                    models.DateTimeField(
                        blank=True, help_text="When the level is expected to be reached", null=True
                    ),
                ),
                (
                    "earliest_at",
                    models.DateTimeField(blank=True, help_text="5 % of the forecasts", null=True),
                ),
                (
                    "latest_at",
                    models.DateTimeField(blank=True, help_text="95 % of the forecasts", null=True),
                ),
                ("confidence", models.FloatField(help_text="That the trend is real, 0..1")),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("text", models.CharField(max_length=400)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="twin_findings",
                        to="facilities.asset",
                    ),
                ),
                (
                    "point",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="twin_findings",
                        to="facilities.point",
                    ),
                ),
            ],
            options={
                "ordering": ("closed_at", "expected_at", "-id"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("asset", "what", "parameter"),
                        name="facilities_twinfinding_one_open",
                    )
                ],
            },
        ),
    ]
