from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0002_readings")]

    operations = []
