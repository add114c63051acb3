"""Which passages may be found: in force at a time, of a collection, of kinds, by a reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from rag.access import OPEN_ONLY, Reader, scope_sql


@dataclass(frozen=True)
class Scope:
    """The passages that a search may find. `collection` is a slug; None means all."""

    at: datetime
    reader: Reader = OPEN_ONLY
    collection: str | None = None
    kinds: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        reader: Reader = OPEN_ONLY,
        collection: str | None = None,
        kinds: Sequence[str] | None = None,
        at: datetime | None = None,
    ) -> "Scope":
        """The scope of a search, now when no time is given."""
        return cls(at or timezone.now(), reader, collection or None, tuple(sorted(kinds or ())))

    @property
    def key(self) -> str:
        """Equal for scopes that allow the same passages at the same time."""
        return f"{self.reader.key}|{self.collection or ''}|{','.join(self.kinds)}"

    def condition(self) -> tuple[str, dict[str, Any]]:
        """SQL over the aliases r (revision), d (document) and c (collection), with parameters."""
        clauses = [
            "r.state = 'ready'",
            "r.effective_from <= %(at)s",
            "(r.superseded_at IS NULL OR r.superseded_at > %(at)s)",
            "(d.withdrawn_at IS NULL OR d.withdrawn_at > %(at)s)",
        ]
        parameters: dict[str, Any] = {"at": self.at}
        allowed, more = scope_sql(self.reader)
        if allowed != "TRUE":
            clauses.append(allowed)
        parameters |= more
        if self.collection:
            clauses.append("c.slug = %(collection)s")
            parameters["collection"] = self.collection
        if self.kinds:
            clauses.append("d.kind = ANY(%(kinds)s)")
            parameters["kinds"] = list(self.kinds)
        return " AND ".join(clauses), parameters


# The revision of a passage `p`, with what the condition needs.
JOINED = (
    "JOIN rag_revision r ON r.id = p.revision_id "
    "JOIN rag_document d ON d.id = r.document_id "
    "JOIN rag_collection c ON c.id = d.collection_id"
)
