"""Daily anchors of the audit trail, append-only like the trail."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_prediction")]

    operations = [
        migrations.CreateModel(
            name="AuditAnchor",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ("day",)},
        ),
        migrations.RunSQL(
            "CREATE TRIGGER approvals_anchor_append_only BEFORE UPDATE OR DELETE ON approvals_auditanchor "
            "FOR EACH ROW EXECUTE FUNCTION approvals_append_only();",
            "DROP TRIGGER approvals_anchor_append_only ON approvals_auditanchor;",
        ),
    ]
