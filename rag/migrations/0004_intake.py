"""Changes of the part intake."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0003_parsing")]

    operations = []
