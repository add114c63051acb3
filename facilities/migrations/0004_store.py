"""Rollups by minute and hour, the marks that keep them right, and the barriers of snapshots."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

INDEX = """
-- One minute is found among the day's readings without reading them all; costs almost nothing to keep.
CREATE INDEX facilities_reading_ts_brin ON facilities_reading
    USING brin (ts) WITH (pages_per_range = 32);
"""
ROLLUP = """
CREATE TABLE facilities_rollup_{name} (
    point_id bigint NOT NULL,
    ts timestamptz NOT NULL,
    low double precision,
    high double precision,
    mean double precision,
    last double precision,
    count integer NOT NULL,
    bad integer NOT NULL,
    flag smallint NOT NULL,
    -- A chart reads its point from the index alone: the rows of one point are scattered over the heap.
    PRIMARY KEY (point_id, ts) INCLUDE (low, high, mean, count, bad, flag)
) PARTITION BY RANGE (ts);
"""
MARKS = """
CREATE TABLE facilities_rollupmark (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level smallint NOT NULL,
    start timestamptz NOT NULL,
    point_ids bigint[],
    marked_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX facilities_rollupmark_start ON facilities_rollupmark (level, start);
-- Readings that are here already are summed up by the job's first runs.
INSERT INTO facilities_rollupmark (level, start)
SELECT DISTINCT 1, date_trunc('minute', ts) FROM facilities_reading;
"""

FLAGS = [(1, "good"), (2, "unknown"), (3, "suspect"), (4, "fail"), (9, "missing")]


def _rollup_state(name):
    return migrations.CreateModel(
        name=name,
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    "point_id", "ts", blank=True, editable=False, primary_key=True, serialize=False
                ),
            ),
            ("ts", models.DateTimeField()),
            ("low", models.FloatField(null=True)),
            ("high", models.FloatField(null=True)),
            ("mean", models.FloatField(null=True)),
            ("last", models.FloatField(null=True)),
            ("count", models.IntegerField()),
            ("bad", models.IntegerField()),
            ("flag", models.SmallIntegerField(choices=FLAGS)),
        ],
        options={"db_table": f"facilities_rollup_{name[6:]}", "abstract": False, "managed": False},
    )


class Migration(migrations.Migration):
    dependencies = [("facilities", "0003_sources_converters")]

    operations = [
        migrations.RunSQL(INDEX, "DROP INDEX facilities_reading_ts_brin;"),
        migrations.RunSQL(
            ROLLUP.format(name="1m") + ROLLUP.format(name="1h") + MARKS,
            "DROP TABLE facilities_rollupmark, facilities_rollup_1m, facilities_rollup_1h;",
        ),
        _rollup_state("Rollup1m"),
        _rollup_state("Rollup1h"),
        migrations.CreateModel(
            name="RollupMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("level", models.SmallIntegerField(choices=[(0, "raw"), (1, "1m"), (2, "1h")])),
                ("start", models.DateTimeField()),
                (
                    "point_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), null=True, size=None
                    ),
                ),
                ("marked_at", models.DateTimeField()),
            ],
            options={"db_table": "facilities_rollupmark", "managed": False},
        ),
        migrations.CreateModel(
            name="Barrier",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                ("asked", models.CharField(choices=[("probe", "probe"), ("reader", "reader")], max_length=6)),
                ("reader", models.CharField(blank=True, help_text="Who waited, for example agent", max_length=60)),
                ("waited_s", models.FloatField(help_text="Seconds from the request to the answer")),
                ("timeout_s", models.FloatField()),
                ("complete", models.BooleanField()),
                ("slowest", models.CharField(blank=True, max_length=100)),
                (
                    "held_s",
                    models.FloatField(
                        default=0,
                        help_text="Seconds the slowest made all the others wait: last minus last but one",
                    ),
                ),
                ("sources", models.JSONField(default=list)),
            ],
            options={"ordering": ("-at", "-id")},
        ),
    ]
