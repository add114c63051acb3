from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0007_anomaly")]

    operations: list = []
