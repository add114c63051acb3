"""Changes of the part chat."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0007_answers")]

    operations = []
