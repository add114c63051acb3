"""The facility itself: is everything watched, and does it survive the loss of one device."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count

from facilities.board.cells import Cell, Evidence, State, share_state
from facilities.board.context import Context
from facilities.board.graph import supply
from facilities.models import Asset, PointQuality
from facilities.models.asset import LinkKind
from facilities.models.reading import Quality

KEY, TITLE = "facility", "Facility"


def cells(context: Context) -> list[Cell]:
    """Stability, performance, coverage, redundancy of power and cooling."""
    return [
        _stability(context),
        _performance(context),
        _coverage(context),
        _redundancy(context, LinkKind.POWER, "Power redundancy"),
        _redundancy(context, LinkKind.COOLING, "Cooling redundancy"),
    ]


def _stability(context: Context) -> Cell:
    quality = context.quality
    share = quality.completeness if quality else None
    return Cell(
        "stability",
        "Stability (24/7)",
        "unknown" if share is None else f"{share:.1%} of expected readings arrive",
        share_state(share, ok=0.99, fail=0.9),
        "mean completeness over all points with a declared interval, newest hour",
        "quality trend of the facility",
        quality.hour if quality else context.now,
        "" if share is not None and share >= 0.99 else "See which points are missing and why.",
        (Evidence("Points with trouble", "/quality/?flag=bad"),),
    )


def _performance(context: Context) -> Cell:
    counts = Counter(PointQuality.objects.values_list("flag", flat=True))
    total = sum(counts.values())
    good = counts[Quality.GOOD]
    share = good / total if total else None
    return Cell(
        "performance",
        "Performance",
        "unknown" if share is None else f"{good:,} of {total:,} points are good",
        share_state(share, ok=0.98, fail=0.9),
        "share of points whose newest verdict is good",
        f"{total:,} verdicts of the quality job",
        context.now,
        "" if share else "No verdict yet: the worker and beat must run.",
        (Evidence("Quality", "/quality/"),),
        tuple(f"{counts[flag]:,} {flag.label}" for flag in Quality if counts[flag]),
    )


def _coverage(context: Context) -> Cell:
    found = Asset.objects.annotate(n=Count("points")).values_list("kind", "n")
    total: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for kind, points in found:
        total[kind] += 1
        covered[kind] += bool(points)
    bare = [f"{total[k] - covered[k]} {k}" for k in sorted(total) if covered[k] < total[k]]
    share = sum(covered.values()) / sum(total.values()) if total else None
    return Cell(
        "coverage",
        "Assets covered by points",
        "no assets"
        if share is None
        else f"{sum(covered.values())} of {sum(total.values())} assets",
        share_state(share, ok=0.95, fail=0.5),
        "assets that have at least one point",
        "the data list",
        context.now,
        f"Without points: {', '.join(bare)}. Add points, or leave them out on purpose."
        if bare
        else "",
        (Evidence("Data list", "/points/"),),
    )


def _redundancy(context: Context, kind: str, title: str) -> Cell:
    found = supply(context.edges, context.kinds, kind)
    if not found.consumers:
        return Cell(
            f"{kind}_redundancy",
            title,
            "unknown",
            State.UNKNOWN,
            "dominators of the graph of links from sources to consumers",
            f"no {kind} links are in the facility file",
            context.now,
            f"Add links of kind {kind} to the facility file.",
        )
    share = found.redundant / found.consumers
    points = found.single_points
    return Cell(
        f"{kind}_redundancy",
        title,
        f"{found.redundant} of {found.consumers} consumers survive any one device",
        State.OK if share == 1 else State.ATTENTION,
        "a device is a single point of failure when every path to a consumer passes through it",
        f"{sum(1 for edge in context.edges if edge.kind == kind)} {kind} links",
        context.now,
        "" if share == 1 else "Give these consumers a second path, or accept the risk knowingly.",
        tuple(Evidence(point.tag, f"/assets/{point.tag}/") for point in points[:4]),
        tuple(
            f"{point.tag} alone feeds {len(point.cuts)}: {', '.join(point.cuts[:4])}"
            + (" …" if len(point.cuts) > 4 else "")
            for point in points[:6]
        ),
    )
