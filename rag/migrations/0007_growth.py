"""What outcome reports and gaps record besides; who may release a report."""

import django.db.models.deletion
from django.db import migrations, models

_KINDS = [
    ("question", "Question without answer"),
    ("alarm", "Alarm without procedure"),
    ("review", "Review due"),
    ("import", "Import that fails"),
    ("flagged", "Flagged text"),
    ("feedback", "Answers judged wrong"),
]


class Migration(migrations.Migration):
    dependencies = [("rag", "0006_chat")]

    operations = [
        migrations.AlterModelOptions(
            name="outcomereport",
            options={
                "ordering": ["-created_at"],
                "permissions": (
                    ("release_report", "Can release outcome reports into the knowledge base"),
                ),
            },
        ),
        migrations.AddField("outcomereport", "note", models.CharField(blank=True, max_length=2000)),
        migrations.AddIndex(
            "outcomereport",
            models.Index(fields=["state", "-created_at"], name="rag_report_state"),
        ),
        migrations.AlterField("gap", "kind", models.CharField(choices=_KINDS, max_length=10)),
        migrations.AddField(
            "gap",
            "subject",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="gaps",
                to="rag.document",
            ),
        ),
        migrations.AddField(
            "gap",
            "closing",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="closes_gaps",
                to="rag.document",
            ),
        ),
        migrations.AddField(
            "gap",
            "collection",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="gaps",
                to="rag.collection",
            ),
        ),
        migrations.AddField("gap", "seen_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("gap", "checked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("gap", "decided_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddIndex("gap", models.Index(fields=["state", "kind"], name="rag_gap_state")),
    ]
