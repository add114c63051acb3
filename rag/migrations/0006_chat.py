"""Changes of the part chat: full text over own conversations, deletion with undo, what is quoted."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rag", "0005_evaluation"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="chatsession",
            name="deleted_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="chatsession",
            index=models.Index(fields=["user", "-updated_at"], name="rag_chat_own"),
        ),
        migrations.AddField(
            model_name="chatmessage",
            name="details",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="chatmessage",
            name="documents",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=120), blank=True, default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="chatmessage",
            name="tsv",
            field=models.GeneratedField(
                db_persist=True,
                expression=django.contrib.postgres.search.SearchVector("text", config="english"),
                output_field=django.contrib.postgres.search.SearchVectorField(),
            ),
        ),
        migrations.AddIndex(
            model_name="chatmessage",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tsv"], name="rag_chat_tsv"),
        ),
        migrations.RunSQL(
            sql="""
            UPDATE rag_chatmessage SET documents = ARRAY(
                SELECT DISTINCT c->>'document' FROM jsonb_array_elements(citations) c
                 WHERE coalesce(c->>'document', '') <> '')
             WHERE jsonb_typeof(citations) = 'array';
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
        migrations.AlterModelOptions(
            name="feedback",
            options={
                "ordering": ["-updated_at"],
                "permissions": (("review_feedback", "Can review the feedback of all users"),),
            },
        ),
    ]
