"""Changes of the part evaluation."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0005_retrieval")]

    operations = []
