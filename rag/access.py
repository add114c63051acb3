"""Who may read which collection; every query on documents and passages goes through a Reader.

A collection without groups is open to everybody who is signed in. One with groups is read by
their members, and by members of a higher role where the group is a role: roles nest, so a
supervisor reads what operators read (`settings.ROLE_ORDER`). The rule is applied inside the queries
(`scope_sql`, `collections_of`), never by filtering what they returned, and groups are looked up at
every request: a group taken away counts from the next search on.
"""

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from rag.models import Collection

# Written out: it runs at every request that reads documents, and building it took longer (1 ms).
_GROUPS = """
SELECT g.id, g.name, m.id IS NOT NULL FROM auth_group g
LEFT JOIN ops_platform_user_groups m ON m.group_id = g.id AND m.user_id = %(user)s
WHERE m.id IS NOT NULL OR g.name = ANY(%(roles)s)
"""


@dataclass(frozen=True)
class Reader:
    """On whose behalf documents are read. The default reads open collections only; it is what
    the system itself (the agent, the gap report) uses. `who` is the user's name, for logs."""

    group_ids: frozenset[int] = frozenset()
    sees_all: bool = False
    who: str = field(default="", compare=False)

    @classmethod
    def of(cls, user: Any) -> "Reader":
        """The reader that a signed-in user is; superusers read everything. One query."""
        if user.is_superuser:
            return cls(sees_all=True, who=user.get_username())
        if not user.is_authenticated:
            return cls()
        with connection.cursor() as cursor:
            cursor.execute(_GROUPS, {"user": user.pk, "roles": list(settings.ROLE_ORDER)})
            return cls(_with_lower_roles(cursor.fetchall()), who=user.get_username())

    @property
    def key(self) -> str:
        """A short text that is equal for readers with equal rights, for caches."""
        return "all" if self.sees_all else ",".join(map(str, sorted(self.group_ids)))


OPEN_ONLY = Reader()


def _with_lower_roles(groups: list[tuple[int, str, bool]]) -> frozenset[int]:
    """Ids of the own groups, and of the roles below the highest own one."""
    order = {name: rank for rank, name in enumerate(settings.ROLE_ORDER)}
    highest = max((order.get(name, -1) for _, name, is_mine in groups if is_mine), default=-1)
    return frozenset(
        key for key, name, is_mine in groups if is_mine or order.get(name, highest + 1) <= highest
    )


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
