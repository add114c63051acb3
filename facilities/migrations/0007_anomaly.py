import django.db.models.deletion
from django.db import migrations, models

# An hour of every point is read at once by facilities/correlation: minutes lie in time order, so a
# block range index finds them without reading the day.
BRIN = """
CREATE INDEX IF NOT EXISTS facilities_rollup_1m_ts_brin ON facilities_rollup_1m
    USING brin (ts) WITH (pages_per_range = 32);
"""


class Migration(migrations.Migration):
    dependencies = [("facilities", "0006_alarms")]

    operations = [
        migrations.RunSQL(BRIN, "DROP INDEX IF EXISTS facilities_rollup_1m_ts_brin;"),
        migrations.CreateModel(
            name="AnomalyWorker",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("owner", models.CharField(blank=True, max_length=100)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                (
                    "scored_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Readings received up to then have been scored",
                        null=True,
                    ),
                ),
                ("points", models.IntegerField(default=0, help_text="Points with a state")),
                (
                    "warm_points",
                    models.IntegerField(default=0, help_text="Points past their warm-up"),
                ),
                (
                    "scored",
                    models.BigIntegerField(
                        default=0, help_text="Readings scored since the first start"
                    ),
                ),
                (
                    "lag_s",
                    models.FloatField(
                        default=0, help_text="Age of the newest scored reading's commit, s"
                    ),
                ),
                (
                    "busy_fraction",
                    models.FloatField(default=0, help_text="Share of one core, last minute"),
                ),
                ("snapshot_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="AnomalyScore",
            fields=[
                (
                    "point",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="anomaly",
                        serialize=False,
                        to="facilities.point",
                    ),
                ),
                ("ts", models.DateTimeField(help_text="Time of the reading that was scored")),
                ("score", models.FloatField()),
                (
                    "expert",
                    models.CharField(
                        help_text="The test that found it most unusual", max_length=20
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AnomalyEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(help_text="Time of the first reading above the threshold"),
                ),
                (
                    "last_at",
                    models.DateTimeField(
                        help_text="Time of the latest reading above the threshold"
                    ),
                ),
                ("peak_score", models.FloatField()),
                (
                    "value",
                    models.FloatField(help_text="Value at the first reading above the threshold"),
                ),
                (
                    "expected",
                    models.FloatField(help_text="What the winning test expected then"),
                ),
                ("expert", models.CharField(max_length=20)),
                (
                    "point",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="anomaly_events",
                        to="facilities.point",
                    ),
                ),
            ],
            options={"ordering": ("-started_at", "-id")},
        ),
        migrations.AddIndex(
            model_name="anomalyevent",
            index=models.Index(fields=["-started_at", "-id"], name="facilities_anomaly_started"),
        ),
        migrations.AddIndex(
            model_name="anomalyevent",
            index=models.Index(fields=["point", "-started_at"], name="facilities_anomaly_point"),
        ),
        migrations.AddConstraint(
            model_name="anomalyevent",
            constraint=models.UniqueConstraint(
                fields=("point", "started_at"), name="facilities_anomaly_unique"
            ),
        ),
    ]
