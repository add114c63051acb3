"""Scores over time: one row an hour for each point, asset and source, and for the facility."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from facilities.ingest.points import PointColumns
from facilities.models.quality import PointQuality, Scope
from facilities.quality.verdict import Verdict

PARTS: Final = ("completeness", "timeliness", "validity", "precision", "score")
KEPT: Final = {
    Scope.POINT: timedelta(days=7),
    Scope.ASSET: timedelta(days=90),
    Scope.SOURCE: timedelta(days=90),
    Scope.FACILITY: timedelta(days=400),
}
"""How long hours are kept; assumed. 100,000 points make 17 million rows of a week."""

# The hour's mean over its runs; a part that a run could not measure leaves the mean as it is.
_ADD = f"""
INSERT INTO facilities_qualitytrend AS t (scope, key, hour, runs, {", ".join(PARTS)})
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::int[],
    {", ".join(["%s::float8[]"] * len(PARTS))})
ON CONFLICT (scope, key, hour) DO UPDATE SET runs = t.runs + 1,
{", ".join(f"{p} = coalesce(t.{p} + (EXCLUDED.{p} - t.{p}) / (t.runs + 1), t.{p}, EXCLUDED.{p})" for p in PARTS)}
"""  # noqa: S608 - names of columns, from a constant
FLOW_KEPT: Final = timedelta(days=90)
"""How long minutes of ``SourceFlow`` are kept; assumed."""

_DROP_FLOW = "DELETE FROM facilities_sourceflow WHERE minute < %s"
_DROP = "DELETE FROM facilities_qualitytrend WHERE scope = %s AND hour < %s"

Values = list[float | None]


def add(
    rows: Sequence[PointQuality],
    verdicts: Sequence[Verdict],
    columns: PointColumns,
    now: datetime,
) -> None:
    """Add one run's scores to the present hour; assets and sources are means of these points."""
    assets: dict[int, list[Values]] = defaultdict(list)
    sources: dict[int, list[Values]] = defaultdict(list)
    entries: list[tuple[str, int, Values]] = []
    asset_of = dict(zip(columns.id.tolist(), columns.asset_id.tolist(), strict=True))
    for row, verdict in zip(rows, verdicts, strict=True):
        values: Values = [getattr(row, part) for part in PARTS]
        entries.append((Scope.POINT, row.point_id, values))
        assets[asset_of[row.point_id]].append(values)
        if verdict.source_id:
            sources[verdict.source_id].append(values)
    entries += [(Scope.ASSET, key, _mean(values)) for key, values in assets.items()]
    entries += [(Scope.SOURCE, key, _mean(values)) for key, values in sources.items()]
    if rows:
        everything = [values for scope, _, values in entries if scope == Scope.POINT]
        entries.append((Scope.FACILITY, 0, _mean(everything)))
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    hour = now.replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            [
                [str(entry[0]) for entry in entries],
                [entry[1] for entry in entries],
                [hour] * len(entries),
                [1] * len(entries),
                *([entry[2][at] for entry in entries] for at in range(len(PARTS))),
            ],
        )


def _mean(values: Sequence[Values]) -> Values:
    found: Values = []
    for column in zip(*values, strict=True):
        known = [value for value in column if value is not None]
        found.append(sum(known) / len(known) if known else None)
    return found


def drop_old(*, now: datetime) -> int:
    """Delete hours, and minutes of source counters, older than kept; returns how many."""
    dropped = 0
    with connection.cursor() as cursor:
        for scope, kept in KEPT.items():
            cursor.execute(_DROP, [scope, now - kept])
            dropped += cursor.rowcount
        cursor.execute(_DROP_FLOW, [now - FLOW_KEPT])
        dropped += cursor.rowcount
    return dropped
