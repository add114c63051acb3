from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0005_quality")]

    operations = []
