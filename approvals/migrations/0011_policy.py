"""The policy that the product comes with, and changes that wait for a second person."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone

from approvals.canonical import digest_of
from approvals.policy.default import DOCUMENT

GUARD = r"""
CREATE FUNCTION approvals_guard_policy_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.verdict <> '' OR
     ROW(NEW.base, NEW.document, NEW.digest, NEW.note, NEW.weaker, NEW.made_by_id, NEW.made_at)
     IS DISTINCT FROM
     ROW(OLD.base, OLD.document, OLD.digest, OLD.note, OLD.weaker, OLD.made_by_id, OLD.made_at)
  THEN
    RAISE EXCEPTION 'change % of the policy can only be decided, once', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_policy_change_guard BEFORE UPDATE OR DELETE ON approvals_policychange
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_policy_change();
"""


def ship(apps, schema_editor):
    apps.get_model("approvals", "PolicyVersion").objects.create(
        number=1,
        document=DOCUMENT,
        digest=digest_of(DOCUMENT),
        note="The policy that the product comes with.",
        made_at=timezone.now(),
    )


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0010_execution"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PolicyChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("base", models.PositiveIntegerField()),
                ("document", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                ("note", models.TextField()),
                ("weaker", models.JSONField(default=list)),
                ("made_at", models.DateTimeField()),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Waiting for a second person"),
                            ("accepted", "Accepted"),
                            ("refused", "Refused"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="",
                        max_length=10,
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("comment", models.TextField(blank=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"ordering": ("-id",)},
        ),
        migrations.AddConstraint(
            model_name="policychange",
            constraint=models.CheckConstraint(
                condition=models.Q(("decided_by", models.F("made_by")), ("verdict", "accepted"), _negated=True),
                name="approvals_policy_change_by_two",
            ),
        ),
        migrations.RunSQL(GUARD),
        # One way, as 0008: a policy is never deleted.
        migrations.RunPython(ship),
    ]
