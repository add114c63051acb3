"""Changes of the part growth."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("rag", "0008_chat")]

    operations = []
