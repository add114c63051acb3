from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0011_policy")]

    operations: list = []
