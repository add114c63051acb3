"""A passage: what is searched, cited and shown."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func
from django.urls import reverse
from pgvector.django import HnswIndex, VectorField

from .document import Revision

EMBEDDING_DIMENSIONS = 384


def _text_vector() -> Func:
    """The indexed lexemes: title and section (weight A), the text, and the codes unparsed."""
    english = "to_tsvector('english'::regconfig, %(expressions)s)"
    return Func(
        Func(F("context"), template=f"setweight({english}, 'A')"),
        Func(F("text"), template=english),
        Func(F("codes"), template="array_to_tsvector(%(expressions)s)"),
        template="%(expressions)s",
        arg_joiner=" || ",
    )


class Passage(models.Model):
    """A piece of a revision of at most 200 words, cut along its structure.

    `context` is the title and section path, indexed and embedded with the text; `codes` are its
    identifiers in normal form; `embedding` is a unit vector of `embedding_model` or null until
    the worker has reached it.
    """

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="passages")
    ordinal = models.PositiveIntegerField()
    section_path = models.JSONField(default=list)
    step = models.PositiveIntegerField(null=True, blank=True)
    page = models.PositiveIntegerField(null=True, blank=True)
    anchor = models.CharField(max_length=40)
    text = models.TextField()
    context = models.TextField(blank=True)
    codes = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    words = models.PositiveIntegerField()
    tsv = models.GeneratedField(
        expression=_text_vector(), output_field=SearchVectorField(), db_persist=True
    )
    embedding = VectorField(dimensions=EMBEDDING_DIMENSIONS, null=True, blank=True)
    embedding_model = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["revision", "ordinal"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["revision", "ordinal"], name="rag_passage_order"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            GinIndex(fields=["tsv"], name="rag_passage_tsv"),
            HnswIndex(
                fields=["embedding"],
                name="rag_passage_hnsw",
                m=16,
                ef_construction=64,
                opclasses=["vector_cosine_ops"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.revision} · {self.anchor}"

    @property
    def section(self) -> str:
        """The section path in one line."""
        return " › ".join(self.section_path)

    def get_absolute_url(self) -> str:
        """The passage within its document, as cited."""
        return f"{reverse('rag:document', args=[self.revision.document.slug])}#{self.anchor}"
