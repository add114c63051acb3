from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0012_catalogue")]

    operations = [
        migrations.AddField(
            model_name="investigation",
            name="subject",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Asset tag; empty where the alarm says it.",
                max_length=80,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="investigation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("alarm__isnull", True), ("outcome", "")),
                fields=("subject",),
                name="approvals_one_look_at_a_time",
            ),
        ),
    ]
