"""The partitioned readings table, and the triggers that keep the data list's version."""

from django.db import migrations

READINGS = """
CREATE TABLE facilities_reading (
    point_id bigint NOT NULL,
    ts timestamptz NOT NULL,
    value double precision NOT NULL,
    quality smallint NOT NULL DEFAULT 1,
    source_id bigint,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (point_id, ts)
) PARTITION BY RANGE (ts);
-- Updated with every batch: leave room on each page so that updates stay on it (HOT).
ALTER TABLE facilities_latestreading SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);
"""
DROP_READINGS = """
ALTER TABLE facilities_latestreading RESET (fillfactor, autovacuum_vacuum_scale_factor);
DROP TABLE facilities_reading;
"""

VERSION = """
CREATE SEQUENCE facilities_datalistversion_seq;
CREATE FUNCTION facilities_bump_data_list() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The number comes from a sequence, so it is never used twice, even after a TRUNCATE.
    INSERT INTO facilities_datalistversion (id, version)
    VALUES (1, nextval('facilities_datalistversion_seq'))
    ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version;
    RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER facilities_bump AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION facilities_bump_data_list();
"""
TABLES = ("facilities_point", "facilities_asset", "facilities_alarmrule")


class Migration(migrations.Migration):
    dependencies = [("facilities", "0001_initial")]

    operations = [
        migrations.RunSQL(READINGS, DROP_READINGS),
        migrations.RunSQL(
            VERSION + "".join(TRIGGER.format(table=table) for table in TABLES),
            "".join(f"DROP TRIGGER facilities_bump ON {table};" for table in TABLES)
            + "DROP FUNCTION facilities_bump_data_list(); "
            "DROP SEQUENCE facilities_datalistversion_seq;",
        ),
    ]
