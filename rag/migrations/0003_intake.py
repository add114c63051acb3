"""Progress and heartbeat of imports, document history, watch folder, embedding by URL."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

_KINDS = [
    ("manual", "Manual"),
    ("sop", "SOP"),
    ("mop", "MOP"),
    ("eop", "EOP"),
    ("report", "Outcome report"),
    ("note", "Note"),
]
_ACTIONS = [
    ("imported", "Imported"),
    ("activated", "Put in force"),
    ("withdrawn", "Withdrawn"),
    ("restored", "Restored"),
    ("reinstated", "Earlier revision put back in force"),
    ("released", "Released"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("rag", "0002_knowledge"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("importjob", "passages_total", models.PositiveIntegerField(default=0)),
        migrations.AddField("importjob", "passages_done", models.PositiveIntegerField(default=0)),
        migrations.AddField("importjob", "touched_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "embeddingmodel", "url", models.CharField(blank=True, default="", max_length=300),
            preserve_default=False,
        ),
        migrations.AddField(
            "embeddingmodel", "touched_at", models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            "embeddingmodel", "error", models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            "revision", "title", models.CharField(blank=True, default="", max_length=300),
            preserve_default=False,
        ),
        migrations.AddField(
            "revision", "kind",
            models.CharField(blank=True, choices=_KINDS, default="", max_length=10),
            preserve_default=False,
        ),
        migrations.AddField(
            "revision", "activated_at", models.DateTimeField(blank=True, null=True)
        ),
        migrations.RunSQL(
            """
            UPDATE rag_revision r SET title = d.title, kind = d.kind,
                   activated_at = CASE WHEN r.state = 'ready' THEN r.created_at END
              FROM rag_document d WHERE d.id = r.document_id;
            SET CONSTRAINTS ALL IMMEDIATE;
            """,
            migrations.RunSQL.noop,
        ),
        migrations.CreateModel(
            name="DocumentEvent",
            fields=[
                ("id", models.BigAutoField(
                    auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("action", models.CharField(choices=_ACTIONS, max_length=12)),
                ("revision", models.PositiveIntegerField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("document", models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE, related_name="events",
                    to="rag.document")),
                ("user", models.ForeignKey(
                    blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL,
                    related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={"ordering": ["-at", "-id"]},
        ),
        migrations.CreateModel(
            name="WatchedFile",
            fields=[
                ("id", models.BigAutoField(
                    auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", models.CharField(max_length=500, unique=True)),
                ("size", models.PositiveBigIntegerField()),
                ("mtime_ns", models.BigIntegerField()),
                ("seen_at", models.DateTimeField()),
                ("is_taken", models.BooleanField(default=False)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("missing_since", models.DateTimeField(blank=True, null=True)),
                ("problem", models.CharField(blank=True, max_length=500)),
                ("job", models.ForeignKey(
                    blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL,
                    related_name="watched", to="rag.importjob")),
            ],
            options={"ordering": ["path"]},
        ),
    ]
