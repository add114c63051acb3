from django.db import migrations, models

KINDS = [
    ("rack", "Rack"),
    ("crac", "CRAC"),
    ("chiller", "Chiller"),
    ("pump", "Pump"),
    ("cdu", "Coolant distribution unit"),
    ("tower", "Cooling tower"),
    ("weather", "Weather station"),
    ("ups", "UPS"),
    ("pdu", "PDU"),
    ("generator", "Generator"),
    ("utility", "Utility feed"),
    ("server", "Server"),
    ("gpu", "GPU"),
    ("leaf", "Leaf switch"),
    ("spine", "Spine switch"),
    ("link", "Network link"),
    ("storage", "Storage"),
    ("job", "Job"),
    ("leak_detector", "Leak detector"),
    ("fire_panel", "Fire panel"),
    ("hall", "Hall"),
    ("source", "Source of readings"),
    ("other", "Other"),
]


class Migration(migrations.Migration):
    dependencies = [("facilities", "0007_anomaly")]

    operations = [
        migrations.AlterField(
            "alarmrule",
            "asset_kind",
            models.CharField(blank=True, choices=KINDS, max_length=20),
        ),
        migrations.AlterField(
            "asset", "kind", models.CharField(choices=KINDS, db_index=True, max_length=20)
        ),
        migrations.AlterField(
            "escalationchain",
            "asset_kind",
            models.CharField(blank=True, choices=KINDS, max_length=20),
        ),
        migrations.AlterField(
            "maintenancewindow",
            "asset_kind",
            models.CharField(blank=True, choices=KINDS, max_length=20),
        ),
    ]
