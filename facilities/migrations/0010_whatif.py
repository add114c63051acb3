from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0009_tracking")]

    operations: list = []
