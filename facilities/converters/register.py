"""Auto-registration: an unknown series of a source that may becomes an unverified point.

Bounded per source (``auto_register_limit``). A name that is too long, empty or holds control
characters is refused; any other is made a safe tag. Assets that do not exist are made with the kind
*other*; a series that names no equipment belongs to the source's own asset.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from django.db import transaction

from facilities.converters.keys import SeriesKey, distinct, is_point_tag, parse_key
from facilities.converters.resolution import Kind, Resolution, Target, hostile, resolution_of
from facilities.converters.rules import Suggestion
from facilities.converters.suggest import guess, identity, lasting
from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Samples
from facilities.models import Asset, Point, Source, SourceSeries
from facilities.models.asset import AssetKind
from facilities.services.own_asset import default_site, source_asset
from facilities.tags import POINT_TAG

logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """A point that a series asks for."""

    key: str
    parsed: SeriesKey
    asset: str
    quantity: str
    suggestion: Suggestion
    by_tag: bool
    """The tag is given (native, or by a rule): it must be exactly this one."""
    hint: str


def register_unknown(source_id: int, samples: Samples, columns: PointColumns) -> int:
    """Make points of this request's unknown series; return how many series are known now.

    One dictionary look-up per series when none is unknown. A series that holds only texts, or only
    NaN, waits for a number.
    """
    resolution = resolution_of(source_id, columns)
    ids = resolution.ids(samples.names, samples.hints)
    unknown = resolution.tables.kind[ids] == Kind.UNKNOWN
    if not unknown.any():
        return 0
    numeric = np.bincount(samples.series[np.isfinite(samples.value)], minlength=len(samples.names))
    wanted = []
    for at in np.flatnonzero(unknown).tolist():
        key = samples.names[at]
        target = resolution.targets[ids[at]]
        if key in resolution.refused or target.code != "unknown_point":
            continue
        has_values = target.rule is not None and target.rule.values is not None
        if not numeric[at] and not has_values:
            continue
        refusal = hostile(key)
        if refusal is not None:
            resolution.refuse(key, refusal)
            continue
        made = _wanted(key, target, samples.hints.get(key, ""))
        if made is None:
            resolution.refuse(
                key, target._replace(detail=f"{target.detail}; its name makes no tag")
            )
        else:
            wanted.append(made)
    return _register(source_id, wanted, resolution) if wanted else 0


def _wanted(key: str, target: Target, hint: str) -> Wanted | None:
    parsed = parse_key(key)
    suggestion = target.rule.suggest if target.rule is not None else Suggestion()
    if target.rule is not None and target.rule.unit and not suggestion.unit:
        unit = f"{target.rule.unit}/s" if target.rule.counter else target.rule.unit
        suggestion = replace(suggestion, unit=unit)
    given = target.tag or (key if is_point_tag(key) else "")
    if given:
        if not POINT_TAG.match(given):
            return None
        asset, _, quantity = given.partition(".")
        return Wanted(key, parsed, asset, quantity, suggestion, True, hint)
    where = identity(parsed)
    if not where.quantity:
        return None
    return Wanted(key, parsed, where.asset, where.quantity, suggestion, False, hint)


@transaction.atomic
def _register(source_id: int, wanted: Iterable[Wanted], resolution: Resolution) -> int:
    """Make the points. The source's row is locked, so two processes cannot pass the bound."""
    source = Source.objects.select_for_update().get(pk=source_id)
    left = (
        source.auto_register_limit
        - Point.objects.filter(source=source, auto_registered=True).count()
    )
    wanted = list(wanted)
    assets = _assets(source, wanted)
    taken = _points_of(assets.values())
    known = _series_of(source)
    points: list[Point] = []
    series: list[tuple[str, Point]] = []
    done = 0
    for item in wanted:
        if item.key in known:
            done += 1  # another process was quicker
            continue
        asset = assets[item.asset]
        quantity = item.quantity
        there = taken.get((asset.pk, quantity))
        if there is not None and not item.by_tag and not _same(there, item, known):
            quantity = distinct(quantity, item.key, 60)
            there = taken.get((asset.pk, quantity))
        if there is None:
            if left <= 0:
                resolution.refuse(
                    item.key,
                    Target(
                        Kind.UNKNOWN,
                        code="unknown_point",
                        detail=f"source {source.name} has registered {source.auto_register_limit:,} "
                        "points, its limit; raise auto_register_limit, or map or drop the series",
                    ),
                )
                continue
            left -= 1
            there = _point(source, asset, quantity, item)
            points.append(there)
            taken[asset.pk, quantity] = there
        done += 1
        if not item.by_tag:
            series.append((item.key, there))
            known[item.key] = there.tag
    Point.objects.bulk_create(points)
    SourceSeries.objects.bulk_create(
        [SourceSeries(source=source, key=key, point=point) for key, point in series],
        ignore_conflicts=True,
    )
    if points:
        logger.info("source %s registered %d points", source.name, len(points))
    return done


def _assets(source: Source, wanted: list[Wanted]) -> dict[str, Asset]:
    tags = {item.asset for item in wanted if item.asset}
    found = {asset.tag: asset for asset in Asset.objects.filter(tag__in=tags)}
    site = default_site() if tags - found.keys() or any(not i.asset for i in wanted) else None
    missing = [
        Asset(
            tag=tag,
            name=tag,
            kind=AssetKind.OTHER,
            site=site,
            attributes={"registered_by": source.name},
        )
        for tag in sorted(tags - found.keys())
    ]
    Asset.objects.bulk_create(missing, ignore_conflicts=True)
    if missing:
        found = {asset.tag: asset for asset in Asset.objects.filter(tag__in=tags)}
    if any(not item.asset for item in wanted):
        found[""] = source_asset(source=source)
    return found


def _points_of(assets: Iterable[Asset]) -> dict[tuple[int, str], Point]:
    return {
        (point.asset_id, point.quantity): point
        for point in Point.objects.filter(asset__in=list(assets))
    }


def _series_of(source: Source) -> dict[str, str]:
    return dict(SourceSeries.objects.filter(source=source).values_list("key", "point__tag"))


def _same(point: Point, item: Wanted, known: Mapping[str, str]) -> bool:
    """Whether a point is this series under other passing labels (a state, a pod) already."""
    return any(
        tag == point.tag and lasting(parse_key(key)) == lasting(item.parsed)
        for key, tag in known.items()
    )


def _point(source: Source, asset: Asset, quantity: str, item: Wanted) -> Point:
    suggestion, guessed = item.suggestion, guess(quantity, item.hint)
    return Point(
        tag=f"{asset.tag}.{quantity}",
        asset=asset,
        name=(suggestion.name or f"{asset.name} {quantity.replace('_', ' ')}")[:200],
        quantity=quantity,
        brick_class=suggestion.brick or guessed.brick,
        unit=(suggestion.unit or guessed.unit)[:20],
        min_value=suggestion.low,
        max_value=suggestion.high,
        precision=suggestion.precision,
        sampling_interval_s=suggestion.interval_s,
        source_interface=suggestion.interface,
        enum=suggestion.enum,
        source=source,
        verified=False,
        auto_registered=True,
    )
