"""A passage: what is searched, cited and shown."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func
from django.urls import reverse

from .document import Revision


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
    identifiers in normal form; `digest` is the SHA-256 of what is embedded (`embedded_text`), by
    which an unchanged passage of a new revision takes over its vectors; `boxes` are the places on
    rendered pages, `[page, left, top, right, bottom]` in points from the upper left corner;
    `flags` as on a revision.
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
    digest = models.CharField(max_length=64, default="", db_index=True)
    boxes = models.JSONField(default=list, blank=True)
    flags = models.JSONField(default=list, blank=True)
    tsv = models.GeneratedField(
        expression=_text_vector(), output_field=SearchVectorField(), db_persist=True
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["revision", "ordinal"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["revision", "ordinal"], name="rag_passage_order"),
        ]

    def __str__(self) -> str:
        return f"{self.revision} · {self.anchor}"

    @property
    def embedded_text(self) -> str:
        """What the embedding model reads: title and section path, then the text."""
        return f"{self.context}\n{self.text}"

    @property
    def section(self) -> str:
        """The section path in one line."""
        return " › ".join(self.section_path)

    def get_absolute_url(self) -> str:
        """The passage within its revision, as cited: a later revision does not move it."""
        page = reverse("rag:document", args=[self.revision.document.slug])
        return f"{page}?revision={self.revision.number}#{self.anchor}"
