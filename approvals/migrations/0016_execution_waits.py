"""What an execution waits for between two of its writes: a change freeze."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0015_notifications")]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="waits",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="{code, before, sentence, since, due_at, until} while it waits in between.",
            ),
        ),
    ]
