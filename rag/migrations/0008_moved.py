"""The history of a document knows that it was moved to another collection."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rag", "0007_growth")]

    operations = [
        migrations.AlterField(
            model_name="documentevent",
            name="action",
            field=models.CharField(
                max_length=12,
                choices=[
                    ("imported", "Imported"),
                    ("activated", "Put in force"),
                    ("withdrawn", "Withdrawn"),
                    ("restored", "Restored"),
                    ("reinstated", "Earlier revision put back in force"),
                    ("released", "Released"),
                    ("moved", "Moved to another collection"),
                ],
            ),
        ),
    ]
