"""Who may read which collection; every query on documents and passages goes through a Reader.

A collection without groups is open to everybody who is signed in. One with groups is read by
their members only. The rule is applied inside the queries (`scope_sql`, `collections_of`), never
by filtering what they returned.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from rag.models import Collection


@dataclass(frozen=True)
class Reader:
    """On whose behalf documents are read. The default reads open collections only; it is what
    the system itself (the agent, the gap report) uses."""

    group_ids: frozenset[int] = frozenset()
    sees_all: bool = False

    @classmethod
    def of(cls, user: Any) -> "Reader":
        """The reader that a signed-in user is; superusers read everything. One query."""
        if user.is_superuser:
            return cls(sees_all=True)
        if not user.is_authenticated:
            return cls()
        return cls(frozenset(user.groups.values_list("pk", flat=True)))

    @property
    def key(self) -> str:
        """A short text that is equal for readers with equal rights, for caches."""
        return "all" if self.sees_all else ",".join(map(str, sorted(self.group_ids)))


OPEN_ONLY = Reader()


def collections_of(reader: Reader) -> QuerySet[Collection]:
    """The collections that the reader may read."""
    if reader.sees_all:
        return Collection.objects.all()
    return Collection.objects.filter(
        Q(groups__isnull=True) | Q(groups__in=reader.group_ids)
    ).distinct()


def readable(reader: Reader, path: str = "") -> Q:
    """A condition for querysets of anything below a collection.

    `path` leads to the collection (`collection`, `document__collection`); subqueries only, so no
    row is doubled.
    """
    name = f"{path}__in" if path else "pk__in"
    return Q(**{name: collections_of(reader).values("pk")})


def scope_sql(reader: Reader, *, collection: str = "c.id") -> tuple[str, dict[str, Any]]:
    """The same condition as SQL with named parameters; `collection` is the id's expression."""
    if reader.sees_all:
        return "TRUE", {}
    members = "SELECT 1 FROM rag_collection_groups g WHERE g.collection_id = "
    shelf = members + collection
    return (
        f"(NOT EXISTS ({shelf}) OR EXISTS ({shelf} AND g.group_id = ANY(%(reader_groups)s)))",
        {"reader_groups": sorted(reader.group_ids)},
    )
