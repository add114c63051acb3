"""Keys of authenticators are sealed, and evidence cannot be emptied.

Each key that django-otp kept in the clear is sealed with the installation's secret and its row there deleted. TRUNCATE of
any table of evidence is refused (a DELETE was already).
"""

import uuid
from binascii import unhexlify

import django.db.models.deletion
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import migrations, models
from django.utils import timezone

from approvals.signing.sealing import seal

EVIDENCE = (
    "approvals_proposal", "approvals_proposaltransition", "approvals_decision", "approvals_execution", "approvals_effect",
    "approvals_policyversion", "approvals_policychange", "approvals_changewindow", "approvals_breakglass",
    "approvals_breakglassreview", "approvals_auditanchor", "approvals_drill", "approvals_handovernote",
    "approvals_gatehold", "approvals_assetlease",
)  # fmt: skip

def trigger(table):
    return f"{table}_no_truncate"


KEPT = "".join(
    f"CREATE TRIGGER {trigger(table)} BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION approvals_append_only();\n"
    for table in EVIDENCE
)
NOT_KEPT = "".join(f"DROP TRIGGER {trigger(table)} ON {table};\n" for table in EVIDENCE)


def seal_keys(apps, schema_editor):
    old, new = apps.get_model("otp_totp", "TOTPDevice"), apps.get_model("approvals", "Authenticator")
    devices = list(old.objects.order_by("pk"))
    if devices and settings.CONFIG.secret_key_is_ephemeral:
        raise ImproperlyConfigured(
            f"{len(devices)} authenticator(s) are to be sealed with OPS_SECRET_KEY, which is not set: a key made for this "
            "one process would lose them. Set it as the web processes have it, and migrate again."
        )
    for device in devices:
        made = new(
            user_id=device.user_id,
            name=device.name[:64],
            label=uuid.uuid4(),
            confirmed=device.confirmed,
            drift=device.drift,
            last_step=device.last_t,
            created_at=device.created_at or timezone.now(),
            last_used_at=device.last_used_at,
        )
        # As `Authenticator.bound_to` says it.
        of = f"authenticator {made.label} of user {made.user_id}"
        made.sealed = seal(key=unhexlify(device.key), secret=settings.SECRET_KEY, of=of)
        made.save(force_insert=True)
        device.delete()


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0016_execution_waits"),
        ("otp_totp", "0003_add_timestamps"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Authenticator",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                (
                    "label",
                    models.UUIDField(editable=False, help_text="What the key is sealed for.", unique=True),
                ),
                ("sealed", models.CharField(editable=False, max_length=255)),
                ("confirmed", models.BooleanField(default=False)),
                ("drift", models.SmallIntegerField(default=0)),
                ("last_step", models.BigIntegerField(default=-1)),
                ("created_at", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="authenticators",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ("pk",)},
        ),
        # One way: a key is not put back into the clear.
        migrations.RunPython(seal_keys, migrations.RunPython.noop),
        migrations.RunSQL(KEPT, NOT_KEPT),
    ]
