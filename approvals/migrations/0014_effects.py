from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0013_agent")]

    operations: list = []
