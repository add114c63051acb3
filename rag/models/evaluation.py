"""Golden questions that people keep, and the runs that measure against all of them."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from .chat import ChatMessage


class GoldenQuestion(models.Model):
    """A question with what answers it; made from feedback with one click, or in the admin.

    `relevant` and `key_facts` have the form of the golden files (docs/evaluation.md).
    """

    query = models.CharField(max_length=1000)
    relevant = models.JSONField(default=list)
    key_facts = models.JSONField(default=list, blank=True)
    is_answerable = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    answer = models.TextField(blank=True, help_text="The corrected answer, where one was given.")
    message = models.OneToOneField(
        ChatMessage, on_delete=models.SET_NULL, null=True, blank=True, related_name="golden"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]

    def __str__(self) -> str:
        return self.query[:80]

    def as_entry(self) -> dict[str, Any]:
        """The question in the form of the golden files."""
        return {
            "query": self.query,
            "relevant": self.relevant,
            "key_facts": self.key_facts,
            "answerable": self.is_answerable,
        }


class EvaluationRun(models.Model):
    """One measured run. `figures` by leg or name; `rows` one entry per question; `setup` what
    was measured (version, embedding model, language model, collection, options).

    A run started from a page waits as `queued` until a worker takes it; `done` of `total`
    questions is its progress. Runs of held sets (`setup["held"]`) keep totals only: no rows.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    class Kind(models.TextChoices):
        RETRIEVAL = "retrieval", "Retrieval"
        ANSWERS = "answers", "Answers"
        ATTACKS = "attacks", "Attacks"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=200)
    setup = models.JSONField(default=dict)
    figures = models.JSONField(default=dict)
    rows = models.JSONField(default=list)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DONE)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-finished_at", "-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["kind", "name", "-finished_at"], name="rag_evaluation_series"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name} {self.finished_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        """The run with its questions."""
        return reverse("rag:evaluation-run", args=[self.pk])

    @property
    def is_held(self) -> bool:
        """Whether only totals may be shown."""
        return bool(self.setup.get("held"))
