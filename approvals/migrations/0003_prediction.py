from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0002_database_guards")]

    operations: list = []
