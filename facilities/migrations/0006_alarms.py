import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models

import facilities.models.notify

# Links decide what is suppressed, envelopes decide levels: both are part of the data list's version.
TRIGGERS = "".join(
    f"CREATE TRIGGER facilities_bump AFTER INSERT OR UPDATE OR DELETE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION facilities_bump_data_list();"
    for table in ("facilities_assetlink", "facilities_envelope")
)
DROP_TRIGGERS = (
    "DROP TRIGGER facilities_bump ON facilities_assetlink;"
    "DROP TRIGGER facilities_bump ON facilities_envelope;"
)

SAFETY = """
UPDATE facilities_alarmrule SET safety = true WHERE asset_kind IN ('leak_detector', 'fire_panel');
"""

RECALLED = "ASHRAE TC 9.9 thermal guidelines 2021, recalled; compare with the book"
# name, range, low_c, high_c, dew low, dew high, rh low, rh high
ENVELOPES = [
    *[(name, "recommended", 18, 27, -9, 15, None, 70) for name in ("A1", "A2", "A3", "A4")],
    ("A1", "allowable", 15, 32, -12, 17, 8, 80),
    ("A2", "allowable", 10, 35, -12, 21, 8, 80),
    ("A3", "allowable", 5, 40, -12, 24, 8, 85),
    ("A4", "allowable", 5, 45, -12, 24, 8, 90),
    ("H1", "recommended", 18, 22, -9, 15, None, 70),
    ("H1", "allowable", 5, 25, -12, 17, 8, 80),
]


def add_envelopes(apps, schema_editor):
    model = apps.get_model("facilities", "Envelope")
    for name, kind, low, high, dew_low, dew_high, rh_low, rh_high in ENVELOPES:
        model.objects.get_or_create(
            name=name,
            range=kind,
            defaults={
                "low_c": low,
                "high_c": high,
                "dew_point_low_c": dew_low,
                "dew_point_high_c": dew_high,
                "rh_low_pct": rh_low,
                "rh_high_pct": rh_high,
                "basis": RECALLED,
            },
        )


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("facilities", "0005_quality"),
    ]

    operations = [
        migrations.CreateModel(
            name='AlarmPolicy',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('suppress_window_s', models.FloatField(default=900, help_text='A consequence appears within this time after its cause; assumed: a hall without cooling passes 27 °C in 1 to 10 minutes', validators=[django.core.validators.MinValueValidator(0)])),
                ('suppress_before_s', models.FloatField(default=60, help_text='A consequence may be seen this much before its cause (delays differ); assumed', validators=[django.core.validators.MinValueValidator(0)])),
                ('release_after_s', models.FloatField(default=300, help_text='A consequence that outlasts its cleared cause by this much is told; assumed: air follows a restarted unit within minutes', validators=[django.core.validators.MinValueValidator(0)])),
                ('chatter_count', models.PositiveSmallIntegerField(default=3, help_text='This many raises within the window chatter (ISA-18.2: three in one minute)', validators=[django.core.validators.MinValueValidator(2)])),
                ('chatter_window_s', models.FloatField(default=60, validators=[django.core.validators.MinValueValidator(1)])),
                ('chatter_shelve_s', models.FloatField(default=600, help_text='How long a chattering alarm is shelved; 0 only counts. Assumed', validators=[django.core.validators.MinValueValidator(0)])),
                ('chatter_shelves_critical', models.BooleanField(default=False)),
                ('max_shelve_s', models.FloatField(default=28800, help_text='The longest an operator may shelve; assumed: one shift', validators=[django.core.validators.MinValueValidator(60)])),
            ],
            options={
                'verbose_name_plural': 'alarm policy',
            },
        ),
        migrations.CreateModel(
            name='NotificationChannel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('kind', models.CharField(choices=[('webhook', 'Webhook'), ('email', 'E-mail')], max_length=7)),
                ('url', models.CharField(blank=True, help_text='https://… of a webhook', max_length=500)),
                ('recipients', models.TextField(blank=True, help_text='E-mail addresses, one a line')),
                ('enabled', models.BooleanField(default=True)),
                ('salt', models.CharField(default=facilities.models.notify.new_salt, editable=False, max_length=32)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.CreateModel(
            name='Shelf',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField(default=django.utils.timezone.now)),
                ('until', models.DateTimeField()),
                ('reason', models.CharField(max_length=300)),
                ('automatic', models.BooleanField(default=False)),
            ],
            options={
                'verbose_name_plural': 'shelves',
                'ordering': ('until', 'id'),
            },
        ),
        migrations.AlterModelOptions(
            name='alarmrule',
            options={'ordering': ('name',), 'permissions': [('manage_alarms', 'Can manage alarm rules, windows and notifications')]},
        ),
        migrations.AddField(
            model_name='alarm',
            name='assignee',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='alarm',
            name='occurrences',
            field=models.PositiveIntegerField(default=1, help_text='How often it came back while it was shelved'),
        ),
        migrations.AddField(
            model_name='alarm',
            name='quality',
            field=models.SmallIntegerField(default=1, help_text='QARTOD flag of that reading'),
        ),
        migrations.AddField(
            model_name='alarm',
            name='recorded_at',
            field=models.DateTimeField(default=django.utils.timezone.now, help_text='When the row was written'),
        ),
        migrations.AddField(
            model_name='alarm',
            name='root',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='consequences', to='facilities.alarm'),
        ),
        migrations.AddField(
            model_name='alarm',
            name='shelved_until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='alarm',
            name='suppressed',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='alarmrule',
            name='kind',
            field=models.CharField(choices=[('threshold', 'Threshold'), ('rate', 'Rate of change'), ('staleness', 'Staleness'), ('quality', 'Data quality'), ('anomaly', 'Anomaly'), ('expression', 'Expression')], default='threshold', max_length=10),
        ),
        migrations.AddField(
            model_name='alarmrule',
            name='parameters',
            field=models.JSONField(blank=True, default=dict, help_text='What the kind needs, see docs/life-of-an-alarm.md'),
        ),
        migrations.AddField(
            model_name='alarmrule',
            name='safety',
            field=models.BooleanField(default=False, help_text='Protects people: never suppressed, never shelved for chattering'),
        ),
        migrations.AlterField(
            model_name='alarm',
            name='peak_value',
            field=models.FloatField(help_text='Worst signal while the alarm was active'),
        ),
        migrations.AlterField(
            model_name='alarm',
            name='value',
            field=models.FloatField(help_text='Signal that raised the alarm'),
        ),
        migrations.AlterField(
            model_name='alarmevent',
            name='event',
            field=models.CharField(choices=[('raised', 'Raised'), ('cleared', 'Cleared'), ('acknowledged', 'Acknowledged'), ('assigned', 'Assigned'), ('noted', 'Noted'), ('suppressed', 'Suppressed'), ('unsuppressed', 'No longer suppressed'), ('shelved', 'Shelved'), ('unshelved', 'Taken from the shelf'), ('notified', 'Notified')], max_length=12),
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.UUIDField(default=uuid.uuid4, help_text='Idempotency key', unique=True)),
                ('kind', models.CharField(choices=[('webhook', 'Webhook'), ('email', 'E-mail')], max_length=7)),
                ('target', models.CharField(help_text='Address', max_length=500)),
                ('event', models.CharField(max_length=20)),
                ('body', models.JSONField()),
                ('state', models.CharField(choices=[('pending', 'Waiting'), ('sent', 'Sent'), ('failed', 'Given up')], default='pending', max_length=7)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('outcome', models.CharField(blank=True, help_text='Answer or error of the last', max_length=300)),
                ('duration_ms', models.FloatField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('alarm', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='facilities.alarm')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'ordering': ('-created_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='Envelope',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='Equipment class: A1 … A4, H1, or your own', max_length=20)),
                ('range', models.CharField(choices=[('recommended', 'Recommended'), ('allowable', 'Allowable')], max_length=11)),
                ('low_c', models.FloatField()),
                ('high_c', models.FloatField()),
                ('dew_point_low_c', models.FloatField(blank=True, null=True)),
                ('dew_point_high_c', models.FloatField(blank=True, null=True)),
                ('rh_low_pct', models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)])),
                ('rh_high_pct', models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)])),
                ('basis', models.CharField(blank=True, max_length=300)),
                ('checked', models.BooleanField(default=False, help_text='Compared with the published table')),
            ],
            options={
                'ordering': ('name', '-range'),
                'constraints': [models.UniqueConstraint(fields=('name', 'range'), name='facilities_envelope_unique')],
            },
        ),
        migrations.CreateModel(
            name='EscalationChain',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('position', models.PositiveSmallIntegerField(default=100, help_text='Lowest is tried first')),
                ('min_severity', models.CharField(choices=[('critical', 'Critical'), ('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], default='high', help_text='And worse', max_length=8)),
                ('asset_kind', models.CharField(blank=True, choices=[('rack', 'Rack'), ('crac', 'CRAC'), ('chiller', 'Chiller'), ('pump', 'Pump'), ('ups', 'UPS'), ('pdu', 'PDU'), ('generator', 'Generator'), ('utility', 'Utility feed'), ('server', 'Server'), ('gpu', 'GPU'), ('leaf', 'Leaf switch'), ('spine', 'Spine switch'), ('link', 'Network link'), ('leak_detector', 'Leak detector'), ('fire_panel', 'Fire panel'), ('hall', 'Hall'), ('source', 'Source of readings'), ('other', 'Other')], max_length=20)),
                ('repeats', models.PositiveSmallIntegerField(default=0, help_text='Times the steps start again', validators=[django.core.validators.MaxValueValidator(5)])),
                ('enabled', models.BooleanField(default=True)),
                ('hall', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.hall')),
            ],
            options={
                'ordering': ('position', 'name'),
            },
        ),
        migrations.CreateModel(
            name='Escalation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('steps_done', models.PositiveSmallIntegerField(default=0, help_text='Over all rounds')),
                ('due_at', models.DateTimeField(help_text='Next step; empty when it is over', null=True)),
                ('started_at', models.DateTimeField()),
                ('ended', models.CharField(blank=True, help_text='Why it is over', max_length=60)),
                ('alarm', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='escalation', to='facilities.alarm')),
                ('chain', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.escalationchain')),
            ],
        ),
        migrations.CreateModel(
            name='EscalationStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.PositiveSmallIntegerField()),
                ('wait_s', models.PositiveIntegerField(default=0, help_text='Seconds before this step')),
                ('role', models.CharField(blank=True, help_text='Everybody of this role', max_length=40)),
                ('chain', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='facilities.escalationchain')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('chain', 'order'),
            },
        ),
        migrations.CreateModel(
            name='MaintenanceWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset_kind', models.CharField(blank=True, choices=[('rack', 'Rack'), ('crac', 'CRAC'), ('chiller', 'Chiller'), ('pump', 'Pump'), ('ups', 'UPS'), ('pdu', 'PDU'), ('generator', 'Generator'), ('utility', 'Utility feed'), ('server', 'Server'), ('gpu', 'GPU'), ('leaf', 'Leaf switch'), ('spine', 'Spine switch'), ('link', 'Network link'), ('leak_detector', 'Leak detector'), ('fire_panel', 'Fire panel'), ('hall', 'Hall'), ('source', 'Source of readings'), ('other', 'Other')], max_length=20)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('reason', models.CharField(max_length=300)),
                ('covers_safety', models.BooleanField(default=False, help_text='Holds back fire and leak alarms too; for tests of those systems')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('asset', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.asset')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('hall', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.hall')),
            ],
            options={
                'ordering': ('-starts_at', '-id'),
            },
        ),
        migrations.AddField(
            model_name='alarm',
            name='maintenance',
            field=models.ForeignKey(blank=True, help_text='Window in which it was raised', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='alarms', to='facilities.maintenancewindow'),
        ),
        migrations.AddIndex(
            model_name='alarm',
            index=models.Index(condition=models.Q(('cleared_at__isnull', True)), fields=['point'], name='facilities_alarm_open'),
        ),
        migrations.AddIndex(
            model_name='alarm',
            index=models.Index(fields=['point', 'rule', '-raised_at'], name='facilities_alarm_pair'),
        ),
        migrations.AddField(
            model_name='escalationstep',
            name='channel',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='steps', to='facilities.notificationchannel'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='channel',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='facilities.notificationchannel'),
        ),
        migrations.AddField(
            model_name='shelf',
            name='point',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.point'),
        ),
        migrations.AddField(
            model_name='shelf',
            name='rule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='facilities.alarmrule'),
        ),
        migrations.AddField(
            model_name='shelf',
            name='shelved_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='escalationchain',
            constraint=models.CheckConstraint(condition=models.Q(('repeats__lte', 5)), name='facilities_chain_repeats'),
        ),
        migrations.AddIndex(
            model_name='escalation',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='facilities_escalation_due'),
        ),
        migrations.AddIndex(
            model_name='maintenancewindow',
            index=models.Index(fields=['ends_at'], name='facilities_window_ends'),
        ),
        migrations.AddConstraint(
            model_name='escalationstep',
            constraint=models.UniqueConstraint(fields=('chain', 'order'), name='facilities_step_order'),
        ),
        migrations.AddConstraint(
            model_name='escalationstep',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('channel__isnull', False), ('role', ''), ('user__isnull', True)), models.Q(('channel__isnull', True), ('role', ''), ('user__isnull', False)), models.Q(('channel__isnull', True), ('user__isnull', True), models.Q(('role', ''), _negated=True)), _connector='OR'), name='facilities_step_one_target'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='facilities_delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['-created_at', '-id'], name='facilities_delivery_newest'),
        ),
        migrations.AddConstraint(
            model_name='shelf',
            constraint=models.UniqueConstraint(fields=('point', 'rule'), name='facilities_shelf_unique'),
        ),
        migrations.RunPython(add_envelopes, migrations.RunPython.noop),
        migrations.RunSQL(SAFETY, migrations.RunSQL.noop),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
