"""Outcome reports of closed proposals."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_prediction")]

    operations = []
