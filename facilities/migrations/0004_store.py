from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0003_sources_converters")]

    operations = []
