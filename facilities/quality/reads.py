"""What pages and the API ask about quality. Reads only, plain results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import Avg, Count, F, Max, Q, QuerySet, Sum

from facilities.models import PointQuality, QualityTrend, Source, SourceFlow
from facilities.models.quality import Scope
from facilities.models.reading import Quality

BAD: Final = (Quality.SUSPECT, Quality.FAIL, Quality.MISSING)
FLAGS: Final = {"bad": BAD, **{flag.label: (flag,) for flag in Quality}}
ORDERS: Final = {"score": (F("score").asc(nulls_first=True), "point__tag"), "tag": ("point__tag",)}


def point_verdicts(
    *,
    flag: str = "",
    asset: str = "",
    kind: str = "",
    source: int | None = None,
    search: str = "",
    order: str = "score",
) -> QuerySet[PointQuality]:
    """Newest verdicts with point and asset, worst score first; ``flag`` is a key of ``FLAGS``."""
    found = PointQuality.objects.select_related("point__asset", "point__latest")
    if flag:
        found = found.filter(flag__in=FLAGS[flag])
    if asset:
        found = found.filter(point__asset__tag=asset)
    if kind:
        found = found.filter(point__asset__kind=kind)
    if source is not None:
        found = found.filter(point__source_id=source)
    for word in search.split():
        found = found.filter(Q(point__tag__icontains=word) | Q(point__name__icontains=word))
    return found.order_by(*ORDERS[order])


def counts_by_flag() -> dict[str, int]:
    """How many points have each flag, by its name."""
    found = dict(PointQuality.objects.values_list("flag").annotate(n=Count("pk")))
    return {flag.label: found.get(flag, 0) for flag in Quality}


class AssetScore(NamedTuple):
    """An asset's means over its points."""

    tag: str
    name: str
    kind: str
    points: int
    bad: int
    completeness: float | None
    timeliness: float | None
    validity: float | None
    precision: float | None
    score: float | None


def asset_scores(*, kind: str = "", search: str = "") -> QuerySet[PointQuality, Any]:
    """Scores by asset, worst first; rows have the fields of ``AssetScore``."""
    found = PointQuality.objects.all()
    if kind:
        found = found.filter(point__asset__kind=kind)
    for word in search.split():
        found = found.filter(
            Q(point__asset__tag__icontains=word) | Q(point__asset__name__icontains=word)
        )
    return (
        found.values(
            tag=F("point__asset__tag"), name=F("point__asset__name"), kind=F("point__asset__kind")
        )
        .annotate(
            points=Count("pk"),
            bad=Count("pk", filter=Q(flag__in=BAD)),
            mean_completeness=Avg("completeness"),
            mean_timeliness=Avg("timeliness"),
            mean_validity=Avg("validity"),
            mean_precision=Avg("precision"),
            mean_score=Avg("score"),
        )
        .order_by(F("mean_score").asc(nulls_first=True), "tag")
    )


def asset_score(row: dict[str, Any]) -> AssetScore:
    """One row of ``asset_scores``."""
    return AssetScore._make(row.get(f"mean_{name}", row.get(name)) for name in AssetScore._fields)


@dataclass(frozen=True, slots=True)
class Step:
    """One of the three steps: how many went in and out, and how long it took."""

    name: str
    into: int
    out: int
    lost: int
    mean_s: float | None
    max_s: float | None
    meaning: str


@dataclass(frozen=True, slots=True)
class SourceSteps:
    """A source over a span: *performance* → *transform* → *transfer*, and its points' scores."""

    id: int
    name: str
    last_seen_at: datetime | None
    requests: int
    refused: int
    bytes: int
    received: int
    rejected: int
    flagged: int
    late: int
    duplicates: int
    stored: int
    per_s: float
    steps: tuple[Step, ...]
    score: float | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


_SUMS = (
    "requests",
    "refused",
    "bytes",
    "received",
    "decoded",
    "converted",
    "rejected",
    "flagged",
    "late",
    "duplicates",
    "stored",
    "performance_s",
    "transform_s",
    "transfer_s",
)
_MAXIMA = ("performance_max_s", "transform_max_s", "transfer_max_s")


def sources_found(*, search: str = "") -> QuerySet[Source]:
    """Sources by name."""
    found = Source.objects.order_by("name")
    for word in search.split():
        found = found.filter(name__icontains=word)
    return found


def source_steps(*, sources: list[Source], now: datetime, minutes: int = 60) -> list[SourceSteps]:
    """The three steps of these sources over the last ``minutes``. Two queries."""
    ids = [source.pk for source in sources]
    since = now - timedelta(minutes=minutes)
    flows: dict[int, dict[str, Any]] = {
        row["source_id"]: dict(row)
        for row in SourceFlow.objects.filter(source__in=ids, minute__gte=since)
        .values("source_id")
        .annotate(
            **{f"sum_{name}": Sum(name) for name in _SUMS},
            **{f"max_{name}": Max(name) for name in _MAXIMA},
        )
        .order_by()
    }
    scores = dict(
        QualityTrend.objects.filter(
            scope=Scope.SOURCE, key__in=ids, hour__gte=now - timedelta(hours=2)
        )
        .order_by("hour")
        .values_list("key", "score")
    )
    return [_steps(source, flows.get(source.pk, {}), minutes, scores) for source in sources]


def _steps(
    source: Source, row: dict[str, Any], minutes: int, scores: dict[int, float | None]
) -> SourceSteps:
    total: dict[str, Any] = {name: row.get(f"sum_{name}") or 0 for name in _SUMS}
    most: dict[str, Any] = {name: row.get(f"max_{name}") for name in _MAXIMA}

    def mean(name: str, over: str) -> float | None:
        return total[f"{name}_s"] / total[over] if total[over] else None

    stored, duplicates = int(total["stored"]), int(total["duplicates"])
    converted = int(total["converted"])
    steps = (
        Step(
            "performance",
            int(total["received"]),
            int(total["received"]),
            0,
            mean("performance", "stored"),
            most["performance_max_s"],
            "sensor and source: from measured to received",
        ),
        Step(
            "transform",
            int(total["received"]),
            max(int(total["received"]) - int(total["rejected"]), 0),
            int(total["rejected"]),
            mean("transform", "requests"),
            most["transform_max_s"],
            "decode, convert and check, by request",
        ),
        Step(
            "transfer",
            max(converted, stored + duplicates),
            stored + duplicates,
            max(converted - stored - duplicates, 0) if converted else 0,
            mean("transfer", "requests"),
            most["transfer_max_s"],
            "queue, COPY and commit, by request",
        ),
    )
    return SourceSteps(
        id=source.pk,
        name=source.name,
        last_seen_at=source.last_seen_at,
        requests=int(total["requests"]),
        refused=int(total["refused"]),
        bytes=int(total["bytes"]),
        received=int(total["received"]),
        rejected=int(total["rejected"]),
        flagged=int(total["flagged"]),
        late=int(total["late"]),
        duplicates=duplicates,
        stored=stored,
        per_s=total["received"] / (minutes * 60.0),
        steps=steps,
        score=scores.get(source.pk),
    )


def score_trend(*, scope: str, key: int, since: datetime) -> QuerySet[QualityTrend]:
    """Hours of scores, oldest first."""
    return QualityTrend.objects.filter(scope=scope, key=key, hour__gte=since).order_by("hour")


def flow_trend(*, source: Source, since: datetime) -> QuerySet[SourceFlow]:
    """Minutes of a source's counters, oldest first."""
    return SourceFlow.objects.filter(source=source, minute__gte=since).order_by("minute")
