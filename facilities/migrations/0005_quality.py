import django.db.models.deletion
from django.db import migrations, models

# A point's own limits change what ingestion checks, so they change the data list's version.
BUMP = """
CREATE TRIGGER facilities_bump AFTER INSERT OR UPDATE OR DELETE ON facilities_qualitylimit
    FOR EACH STATEMENT EXECUTE FUNCTION facilities_bump_data_list();
"""


class Migration(migrations.Migration):
    dependencies = [("facilities", "0004_store")]

    operations = [
        migrations.CreateModel(
            name='CapacityMeasure',
            fields=[
                ('name', models.CharField(max_length=60, primary_key=True, serialize=False)),
                ('value', models.FloatField()),
                ('unit', models.CharField(max_length=30)),
                ('measured_at', models.DateTimeField()),
                ('how', models.CharField(max_length=300)),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.CreateModel(
            name='PointQuality',
            fields=[
                ('point', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='quality_state', serialize=False, to='facilities.point')),
                ('computed_at', models.DateTimeField()),
                ('window_s', models.FloatField()),
                ('flag', models.SmallIntegerField(choices=[(1, 'good'), (2, 'unknown'), (3, 'suspect'), (4, 'fail'), (9, 'missing')], db_index=True, default=2)),
                ('standing', models.SmallIntegerField(choices=[(1, 'good'), (2, 'unknown'), (3, 'suspect'), (4, 'fail'), (9, 'missing')], default=1, help_text='What new readings carry at least, until the next verdict')),
                ('since', models.DateTimeField(help_text='When the flag became what it is')),
                ('tests', models.JSONField(default=dict)),
                ('readings', models.PositiveIntegerField(default=0)),
                ('expected', models.FloatField(null=True)),
                ('flagged', models.PositiveIntegerField(default=0)),
                ('interval_s', models.FloatField(help_text='Median time between readings', null=True)),
                ('delay_s', models.FloatField(help_text='Mean time from measured to received', null=True)),
                ('run_since', models.DateTimeField(help_text='Since when the value has not moved', null=True)),
                ('longest_run_s', models.FloatField(default=0, help_text='Longest usual time without a change')),
                ('changes', models.PositiveIntegerField(default=0, help_text='Changes seen while learning that')),
                ('memory', models.JSONField(default=dict, help_text='What the slow tests keep between runs')),
                ('completeness', models.FloatField(null=True)),
                ('timeliness', models.FloatField(null=True)),
                ('validity', models.FloatField(null=True)),
                ('precision', models.FloatField(null=True)),
                ('score', models.FloatField(db_index=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='QualityLimit',
            fields=[
                ('point', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='quality_limit', serialize=False, to='facilities.point')),
                ('suspect_low', models.FloatField(blank=True, help_text='Suspect below, in the unit', null=True)),
                ('suspect_high', models.FloatField(blank=True, help_text='Suspect above, in the unit', null=True)),
                ('rate_suspect', models.FloatField(blank=True, help_text='Suspect above, unit per s', null=True)),
                ('rate_fail', models.FloatField(blank=True, help_text='Fail above, unit per s', null=True)),
                ('spike_suspect', models.FloatField(blank=True, help_text='Suspect above, in the unit', null=True)),
                ('spike_fail', models.FloatField(blank=True, help_text='Fail above, in the unit', null=True)),
                ('flat_suspect_s', models.FloatField(blank=True, null=True)),
                ('flat_fail_s', models.FloatField(blank=True, null=True)),
                ('gap_s', models.FloatField(blank=True, help_text='Missing when silent for longer', null=True)),
                ('redundancy_tolerance', models.FloatField(blank=True, help_text='In the unit', null=True)),
                ('note', models.CharField(blank=True, help_text='Where the numbers come from', max_length=200)),
            ],
        ),
        migrations.AddField(
            model_name='assetlink',
            name='attributes',
            field=models.JSONField(blank=True, default=dict, help_text='Of a network link: medium, layer, capacity_gbps, private, redundancy'),
        ),
        migrations.CreateModel(
            name='QualityTrend',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.CharField(choices=[('point', 'Point'), ('asset', 'Asset'), ('source', 'Source'), ('facility', 'Facility')], max_length=8)),
                ('key', models.BigIntegerField()),
                ('hour', models.DateTimeField()),
                ('runs', models.PositiveIntegerField(default=0)),
                ('completeness', models.FloatField(null=True)),
                ('timeliness', models.FloatField(null=True)),
                ('validity', models.FloatField(null=True)),
                ('precision', models.FloatField(null=True)),
                ('score', models.FloatField(null=True)),
            ],
            options={
                'ordering': ('hour',),
                'constraints': [models.UniqueConstraint(fields=('scope', 'key', 'hour'), name='facilities_qualitytrend_unique')],
            },
        ),
        migrations.CreateModel(
            name='RedundancyGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, unique=True)),
                ('tolerance', models.FloatField(blank=True, help_text='Allowed difference in the unit; empty: from precision', null=True)),
                ('points', models.ManyToManyField(related_name='redundancy_groups', to='facilities.point')),
                ('reference', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='reference_for', to='facilities.point')),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.CreateModel(
            name='SourceFlow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('requests', models.PositiveBigIntegerField(default=0)),
                ('refused', models.PositiveBigIntegerField(default=0, help_text='Requests answered 4xx or 5xx')),
                ('bytes', models.PositiveBigIntegerField(default=0, help_text='Bodies as they arrived')),
                ('received', models.PositiveBigIntegerField(default=0, help_text='Items in those bodies')),
                ('decoded', models.PositiveBigIntegerField(default=0)),
                ('converted', models.PositiveBigIntegerField(default=0, help_text='Readings of known points')),
                ('rejected', models.PositiveBigIntegerField(default=0, help_text='Items sent to quarantine')),
                ('flagged', models.PositiveBigIntegerField(default=0, help_text='Stored as suspect or fail')),
                ('late', models.PositiveBigIntegerField(default=0, help_text='Older than the newest of the point')),
                ('duplicates', models.PositiveBigIntegerField(default=0)),
                ('stored', models.PositiveBigIntegerField(default=0)),
                ('performance_s', models.FloatField(default=0, help_text='Sum of received − measured, seconds')),
                ('performance_max_s', models.FloatField(default=0)),
                ('transform_s', models.FloatField(default=0, help_text='Sum of decode, convert and check')),
                ('transform_max_s', models.FloatField(default=0)),
                ('transfer_s', models.FloatField(default=0, help_text='Sum of queue, COPY and commit')),
                ('transfer_max_s', models.FloatField(default=0)),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='flow', to='facilities.source')),
            ],
            options={
                'ordering': ('-minute', 'source'),
                'constraints': [models.UniqueConstraint(fields=('source', 'minute'), name='facilities_sourceflow_unique')],
            },
        ),
        migrations.RunSQL(BUMP, "DROP TRIGGER facilities_bump ON facilities_qualitylimit;"),
    ]
