"""Changes of the part parsing."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0002_knowledge")]

    operations = []
