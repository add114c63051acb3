from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0008_gate_guards")]

    operations: list = []
