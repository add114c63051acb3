"""Changes of the part answers."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0006_evaluation")]

    operations = []
