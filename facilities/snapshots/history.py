"""What waiting has cost, source by source."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from django.db import connection

from facilities.models import Barrier


class Wait(NamedTuple):
    """What one source cost. Delays are of the barriers it reached; None when it reached none."""

    source: str
    barriers: int
    slowest: int
    missed: int
    held_s: float
    delay_p50_s: float | None
    delay_p95_s: float | None


_SQL: Final = """
SELECT s->>'name', count(*), count(*) FILTER (WHERE b.slowest = s->>'name'),
       count(*) FILTER (WHERE s->>'delay_s' IS NULL),
       coalesce(sum(b.held_s) FILTER (WHERE b.slowest = s->>'name'), 0),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY (s->>'delay_s')::float8),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY (s->>'delay_s')::float8)
FROM facilities_barrier b, jsonb_array_elements(b.sources) s
WHERE b.at >= %s AND b.asked = %s
GROUP BY 1 ORDER BY 5 DESC, 4 DESC, 1
"""


def waits(*, since: datetime) -> list[Wait]:
    """Who made everyone wait in the probes since then, worst first. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [since, Barrier.Asked.PROBE])
        return [Wait(*row) for row in cursor.fetchall()]
