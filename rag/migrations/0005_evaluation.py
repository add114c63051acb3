"""Runs started from a page: their state, progress and fault; the index of the charts."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rag", "0004_retrieval")]

    operations = [
        migrations.AlterModelOptions(
            name="evaluationrun", options={"ordering": ["-finished_at", "-id"]}
        ),
        migrations.AddField(
            model_name="evaluationrun",
            name="done",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="evaluationrun",
            name="error",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="evaluationrun",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("failed", "Failed"),
                ],
                default="done",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="evaluationrun",
            name="total",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="evaluationrun",
            name="finished_at",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddIndex(
            model_name="evaluationrun",
            index=models.Index(
                fields=["kind", "name", "-finished_at"], name="rag_evaluation_series"
            ),
        ),
    ]
