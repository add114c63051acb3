"""Who may push readings."""

from django.db import models


class Source(models.Model):
    """A sender of readings, known by a token of which only the hash is stored."""

    name = models.CharField(max_length=100, unique=True)
    token_hash = models.CharField(
        max_length=64, unique=True, editable=False, help_text="SHA-256 of the token, hexadecimal"
    )
    token_prefix = models.CharField(max_length=12, editable=False)
    active = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        permissions = [("manage_sources", "Can manage sources")]

    def __str__(self) -> str:
        return self.name
