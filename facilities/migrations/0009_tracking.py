from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("facilities", "0008_asset_kinds")]

    operations: list = []
