"""What people prove again with who they are."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Authenticator(models.Model):
    """One authenticator app (TOTP, RFC 6238: SHA-1, six digits, 30 s) of one account.

    `sealed` is its key, encrypted for this row (`signing/sealing.py`). `last_step` is the time step
    of the newest code that was taken: a code of that step or before is a replay. `drift` is how
    many steps the phone's clock is off.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="authenticators"
    )
    name = models.CharField(max_length=64)
    label = models.UUIDField(unique=True, editable=False, help_text="What the key is sealed for.")
    sealed = models.CharField(max_length=255, editable=False)
    confirmed = models.BooleanField(default=False)
    drift = models.SmallIntegerField(default=0)
    last_step = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.name} of user {self.user_id}"

    @property
    def bound_to(self) -> str:
        """The row and account that the key is sealed for, as errors name it too."""
        return f"authenticator {self.label} of user {self.user_id}"
