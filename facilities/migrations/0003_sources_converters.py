"""Sources with limits, converters, derived points, quarantine; the data list's new columns."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# What changes how series resolve changes the data list's version, as points do (migration 0002).
TRIGGER = """
CREATE TRIGGER facilities_bump AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION facilities_bump_data_list();
"""
# Not on every update: ``last_seen_at`` changes every few seconds.
SOURCE_TRIGGER = """
CREATE TRIGGER facilities_bump
    AFTER DELETE OR UPDATE OF auto_register, auto_register_limit ON facilities_source
    FOR EACH STATEMENT EXECUTE FUNCTION facilities_bump_data_list();
"""
TABLES = ("facilities_converter", "facilities_sourceseries", "facilities_derivedpoint")


class Migration(migrations.Migration):
    dependencies = [
        ("facilities", "0002_readings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="point",
            name="auto_registered",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name="point",
            name="haystack",
            field=models.CharField(
                blank=True,
                help_text="Haystack tags, for example air temp sensor discharge",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="point",
            name="owner",
            field=models.CharField(blank=True, help_text="Whom to call about it", max_length=100),
        ),
        migrations.AddField(
            model_name="point",
            name="source",
            field=models.ForeignKey(
                blank=True,
                help_text="Who sends it",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="points",
                to="facilities.source",
            ),
        ),
        migrations.AddField(
            model_name="point",
            name="verified",
            field=models.BooleanField(
                default=True, help_text="A person has accepted what this line says"
            ),
        ),
        migrations.AddField(
            model_name="point",
            name="verified_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="point",
            name="verified_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="allowed_networks",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text='Networks it may push from, for example ["10.20.0.0/16"]; empty: any',
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="asset",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                help_text="The source itself as equipment: its heartbeat, and series without an asset",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="as_source",
                to="facilities.asset",
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="auto_register",
            field=models.BooleanField(
                default=False, help_text="Unknown series become unverified points"
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="auto_register_limit",
            field=models.PositiveIntegerField(
                default=1000,
                help_text="Points it may bring into the data list by itself",
                validators=[django.core.validators.MaxValueValidator(100000)],
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="heartbeat_timeout_s",
            field=models.FloatField(
                blank=True,
                help_text="Seconds of silence after which an alarm is raised. Empty: none",
                null=True,
                validators=[django.core.validators.MinValueValidator(10.0)],
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="kept_messages",
            field=models.PositiveSmallIntegerField(
                default=20,
                help_text="Last messages kept for previews",
                validators=[django.core.validators.MaxValueValidator(200)],
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="max_readings_per_s",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Readings per second it may push; more is answered 429. Empty: no limit",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="owner",
            field=models.CharField(blank=True, help_text="Whom to call about it", max_length=100),
        ),
        migrations.AlterField(
            model_name="alarmrule",
            name="asset_kind",
            field=models.CharField(
                blank=True,
                choices=[
                    ("rack", "Rack"),
                    ("crac", "CRAC"),
                    ("chiller", "Chiller"),
                    ("pump", "Pump"),
                    ("ups", "UPS"),
                    ("pdu", "PDU"),
                    ("generator", "Generator"),
                    ("utility", "Utility feed"),
                    ("server", "Server"),
                    ("gpu", "GPU"),
                    ("leaf", "Leaf switch"),
                    ("spine", "Spine switch"),
                    ("link", "Network link"),
                    ("leak_detector", "Leak detector"),
                    ("fire_panel", "Fire panel"),
                    ("hall", "Hall"),
                    ("source", "Source of readings"),
                    ("other", "Other"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="asset",
            name="kind",
            field=models.CharField(
                choices=[
                    ("rack", "Rack"),
                    ("crac", "CRAC"),
                    ("chiller", "Chiller"),
                    ("pump", "Pump"),
                    ("ups", "UPS"),
                    ("pdu", "PDU"),
                    ("generator", "Generator"),
                    ("utility", "Utility feed"),
                    ("server", "Server"),
                    ("gpu", "GPU"),
                    ("leaf", "Leaf switch"),
                    ("spine", "Spine switch"),
                    ("link", "Network link"),
                    ("leak_detector", "Leak detector"),
                    ("fire_panel", "Fire panel"),
                    ("hall", "Hall"),
                    ("source", "Source of readings"),
                    ("other", "Other"),
                ],
                db_index=True,
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="Converter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("document", models.TextField(blank=True, max_length=100000)),
                ("enabled", models.BooleanField(default=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "source",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="converter",
                        to="facilities.source",
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DerivedPoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("expression", models.CharField(max_length=2000)),
                (
                    "max_age_s",
                    models.FloatField(
                        default=60.0,
                        help_text="An input older than the newest by more than this makes the result suspect",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("problem", models.CharField(blank=True, editable=False, max_length=300)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "point",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="derived",
                        to="facilities.point",
                    ),
                ),
            ],
            options={
                "ordering": ("point__tag",),
            },
        ),
        migrations.CreateModel(
            name="CounterState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=512)),
                ("history", models.JSONField(default=list)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="facilities.source",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "key"), name="facilities_counter_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DerivedInput",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "point",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feeds",
                        to="facilities.point",
                    ),
                ),
                (
                    "derived",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="inputs",
                        to="facilities.derivedpoint",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("derived", "point"), name="facilities_input_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="QuarantinedItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(help_text="When it was received")),
                ("code", models.CharField(max_length=40)),
                ("detail", models.CharField(max_length=500)),
                ("series", models.CharField(blank=True, max_length=512)),
                ("ts_us", models.BigIntegerField(null=True)),
                ("value", models.FloatField(null=True)),
                ("text", models.CharField(max_length=200, null=True)),
                ("hint", models.CharField(blank=True, max_length=60)),
                ("raw", models.TextField(blank=True)),
                ("digest", models.UUIDField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("replayed", "Replayed"),
                            ("discarded", "Discarded"),
                        ],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quarantined",
                        to="facilities.source",
                    ),
                ),
            ],
            options={
                "ordering": ("-at", "-id"),
                "indexes": [
                    models.Index(fields=["-at", "-id"], name="facilities_quarantine_at"),
                    models.Index(
                        fields=["source", "state", "-at"], name="facilities_quarantine_src"
                    ),
                    models.Index(fields=["state", "at"], name="facilities_quarantine_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "digest"), name="facilities_quarantine_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="QuarantineDrops",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("reason", models.CharField(help_text="flood, count or age", max_length=10)),
                ("count", models.BigIntegerField(default=0)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quarantine_drops",
                        to="facilities.source",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "quarantine drops",
                "ordering": ("-day",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "day", "reason"), name="facilities_quarantinedrops_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("format", models.CharField(blank=True, max_length=30)),
                ("raw", models.TextField(blank=True, help_text="The body's first 16 KiB as text")),
                (
                    "size",
                    models.PositiveIntegerField(
                        default=0, help_text="Bytes of the body after decompression"
                    ),
                ),
                ("samples", models.JSONField(default=list)),
                ("hints", models.JSONField(default=dict)),
                (
                    "total",
                    models.PositiveIntegerField(
                        default=0, help_text="Samples in the whole message"
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="facilities.source",
                    ),
                ),
            ],
            options={
                "ordering": ("-at", "-id"),
                "indexes": [
                    models.Index(fields=["source", "-at"], name="facilities_message_latest")
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceSeries",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=512)),
                ("registered_at", models.DateTimeField(auto_now_add=True)),
                (
                    "point",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="series",
                        to="facilities.point",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="series",
                        to="facilities.source",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "source series",
                "ordering": ("source", "key"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "key"), name="facilities_series_unique"
                    )
                ],
            },
        ),
        migrations.RunSQL(
            "".join(TRIGGER.format(table=table) for table in TABLES) + SOURCE_TRIGGER,
            "".join(f"DROP TRIGGER facilities_bump ON {table};" for table in TABLES)
            + "DROP TRIGGER facilities_bump ON facilities_source;",
        ),
    ]
