"""Which driver writes which points."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_audit_anchor")]

    operations = [
        migrations.CreateModel(
            name='DriverBinding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60, unique=True)),
                ('driver', models.CharField(choices=[('plant', 'plant'), ('webhook', 'webhook'), ('modbus', 'modbus'), ('redfish', 'redfish')], max_length=20)),
                ('pattern', models.CharField(help_text='Point tags, with * and ?.', max_length=120)),
                ('settings', models.JSONField(blank=True, default=dict)),
                ('secret_name', models.CharField(blank=True, help_text='Key in OPS_DRIVER_SECRETS, not the secret.', max_length=60)),
                ('priority', models.PositiveIntegerField(default=100, help_text='The lowest counts.')),
                ('is_dry_run', models.BooleanField(default=True, help_text='Say what would be sent and write nothing.')),
                ('is_active', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ('priority', 'name'),
            },
        ),
    ]
