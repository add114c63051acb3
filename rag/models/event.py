"""What happened to a document, by whom and why."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from .document import Document


class DocumentEvent(models.Model):
    """One entry of a document's history; written once, never changed.

    `revision` is the number of the revision that it concerns, where there is one.
    """

    class Action(models.TextChoices):
        IMPORTED = "imported", "Imported"
        ACTIVATED = "activated", "Put in force"
        WITHDRAWN = "withdrawn", "Withdrawn"
        RESTORED = "restored", "Restored"
        REINSTATED = "reinstated", "Earlier revision put back in force"
        RELEASED = "released", "Released"
        MOVED = "moved", "Moved to another collection"

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="events")
    action = models.CharField(max_length=12, choices=Action.choices)
    revision = models.PositiveIntegerField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar[list[str]] = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.document}: {self.get_action_display()}"
