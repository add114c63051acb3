"""Changes of the part retrieval."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0004_intake")]

    operations = []
