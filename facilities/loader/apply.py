"""From checked rows to the database, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models, transaction

from facilities.models import (
    Alarm,
    AlarmRule,
    Asset,
    AssetLink,
    Hall,
    LatestReading,
    Point,
    Rack,
    Reading,
    RedundancyGroup,
    Site,
)
from facilities.models.asset import AssetKind

from .document import AssetRow, Facility, PointRow
from .problems import Problems


class LoadReport(NamedTuple):
    """How many rows were created, changed, left as they were, removed; and what is not in the file."""

    created: int
    updated: int
    unchanged: int
    pruned: int
    extra: dict[str, list[str]]


class Wanted(NamedTuple):
    """One row as the file wants it."""

    line: int
    values: dict[str, Any]


@transaction.atomic
def apply(facility: Facility, problems: Problems, *, prune: bool) -> LoadReport:
    """Create and update everything the file names; with ``prune`` remove the rest of the site.

    Raises ``FacilityFileError`` and changes nothing when the database contradicts the file.
    """
    return Apply(facility, problems).run(prune=prune)


class Apply:
    """One load: keeps the counts and the objects made so far by their tag."""

    def __init__(self, facility: Facility, problems: Problems) -> None:
        self.facility, self.problems = facility, problems
        self.created = self.updated = self.unchanged = 0

    def run(self, *, prune: bool) -> LoadReport:
        """Write all rows, parents first."""
        site = self._site()
        halls = self._halls(site)
        racks = self._racks(halls)
        assets = self._assets(site, halls, racks)
        points = self._points(assets)
        links = self._links(assets)
        groups = self._redundancy(points)
        rules = self._rules(points)
        self.problems.raise_if_any()
        extra: dict[str, models.QuerySet[Any]] = {
            "rules": AlarmRule.objects.exclude(name__in=rules),
            "redundancy groups": RedundancyGroup.objects.filter(
                pk__in=RedundancyGroup.objects.filter(points__asset__site=site).values("pk")
            ).exclude(name__in=groups),
            "links": AssetLink.objects.filter(source__site=site).exclude(pk__in=links),
            "points": Point.objects.filter(asset__site=site).exclude(tag__in=points),
            "assets": Asset.objects.filter(site=site).exclude(tag__in=assets),
            "racks": Rack.objects.filter(hall__site=site).exclude(tag__in=racks),
            "halls": Hall.objects.filter(site=site).exclude(slug__in=halls),
        }
        names = {name: [str(row) for row in rows] for name, rows in extra.items()}
        pruned = _prune(extra) if prune else 0
        return LoadReport(
            self.created,
            self.updated,
            self.unchanged,
            pruned,
            {} if prune else {name: rows for name, rows in names.items() if rows},
        )

    def _sync(
        self,
        model: type[models.Model],
        key: str,
        existing: Iterable[models.Model],
        wanted: Mapping[Any, Wanted],
    ) -> dict[Any, Any]:
        """Create missing rows and update those that differ; return all by key."""
        found = {getattr(row, key): row for row in existing}
        new, changed = [], []
        fields = list(next(iter(wanted.values())).values) if wanted else []
        for name, want in wanted.items():
            row = found.get(name)
            if row is None:
                row = found[name] = model(**{key: name}, **want.values)
                new.append(row)
            elif any(getattr(row, field) != value for field, value in want.values.items()):
                for field, value in want.values.items():
                    setattr(row, field, value)
                changed.append(row)
            else:
                self.unchanged += 1
                continue
            self._check_fields(row, want.line)
        self.problems.raise_if_any()
        model._default_manager.bulk_create(new)
        if changed:
            model._default_manager.bulk_update(changed, fields, batch_size=500)
        self.created += len(new)
        self.updated += len(changed)
        return {name: found[name] for name in wanted}

    def _check_fields(self, row: models.Model, line: int) -> None:
        relations = [f.name for f in row._meta.concrete_fields if f.is_relation]
        try:
            row.clean_fields(exclude=relations)
        except ValidationError as error:
            for field, messages in error.message_dict.items():
                self.problems.add(line, f"{row}: {field}: {' '.join(messages)}")

    def _site(self) -> Site:
        row = self.facility.site
        wanted = {row.slug: Wanted(row.line, {"name": row.name, "timezone": row.timezone})}
        site: Site = self._sync(Site, "slug", Site.objects.filter(slug=row.slug), wanted)[row.slug]
        return site

    def _halls(self, site: Site) -> dict[str, Hall]:
        wanted = {
            row.slug: Wanted(
                row.line,
                {
                    "site_id": site.pk,
                    "name": row.name,
                    "width_m": row.width_m,
                    "depth_m": row.depth_m,
                },
            )
            for row in self.facility.halls
        }
        existing = list(Hall.objects.filter(slug__in=wanted).select_related("site"))
        for hall in existing:
            self._refuse_other_site(wanted[hall.slug].line, "hall", hall.slug, hall.site, site)
        return self._sync(Hall, "slug", existing, wanted)

    def _refuse_other_site(self, line: int, what: str, tag: str, old: Site, new: Site) -> None:
        if old.pk != new.pk:
            self.problems.add(
                line, f"{what} {tag} belongs to site {old.slug} already, not to {new.slug}"
            )

    def _racks(self, halls: dict[str, Hall]) -> dict[str, Rack]:
        wanted = {
            row.tag: Wanted(
                row.line,
                {
                    "hall_id": halls[row.hall].pk,
                    "row": row.row,
                    "position": row.position,
                    "rated_w": row.rated_w,
                    "x_m": row.x_m,
                    "y_m": row.y_m,
                },
            )
            for row in self.facility.racks
        }
        existing = list(Rack.objects.filter(tag__in=wanted))
        self._refuse_taken_places(wanted, halls)
        return self._sync(Rack, "tag", existing, wanted)

    def _refuse_taken_places(self, wanted: Mapping[str, Wanted], halls: dict[str, Hall]) -> None:
        """Racks of the database that the file does not name keep their places."""
        kept = {
            (rack.hall_id, rack.row, rack.position): rack.tag
            for rack in Rack.objects.filter(hall__in=halls.values()).exclude(tag__in=wanted)
        }
        for tag, want in wanted.items():
            place = (want.values["hall_id"], want.values["row"], want.values["position"])
            if place in kept:
                self.problems.add(
                    want.line,
                    f"rack {tag}: row {place[1]}, position {place[2]} is taken by rack "
                    f"{kept[place]}, which is in the database but not in the file; "
                    "name it in the file or remove it in the admin console",
                )
        self.problems.raise_if_any()

    def _asset_rows(self) -> list[AssetRow]:
        """Assets of the file, with one for every rack and hall that has none of its own."""
        named = {row.tag for row in self.facility.assets}
        places = [
            AssetRow(h.line, h.slug, AssetKind.HALL, h.name, h.slug, "", "", {})
            for h in self.facility.halls
            if h.slug not in named
        ] + [
            AssetRow(
                r.line,
                r.tag,
                AssetKind.RACK,
                f"Rack {r.row}-{r.position:02}",
                r.hall,
                r.tag,
                "",
                r.attributes,
            )
            for r in self.facility.racks
            if r.tag not in named
        ]
        return places + self.facility.assets

    def _assets(
        self, site: Site, halls: dict[str, Hall], racks: dict[str, Rack]
    ) -> dict[str, Asset]:
        rows = self._asset_rows()
        wanted = {}
        for row in rows:
            rack = racks.get(row.rack)
            hall = halls.get(row.hall)
            wanted[row.tag] = Wanted(
                row.line,
                {
                    "name": row.name,
                    "kind": row.kind,
                    "site_id": site.pk,
                    "hall_id": hall.pk if hall else rack.hall_id if rack else None,
                    "rack_id": rack.pk if rack else None,
                    "attributes": row.attributes,
                },
            )
        existing = list(Asset.objects.filter(tag__in=wanted).select_related("site"))
        for asset in existing:
            self._refuse_other_site(wanted[asset.tag].line, "asset", asset.tag, asset.site, site)
        self.problems.raise_if_any()
        assets: dict[str, Asset] = self._sync(Asset, "tag", existing, wanted)
        moved = []
        for row in rows:
            parent_id = assets[row.parent].pk if row.parent else None
            if assets[row.tag].parent_id != parent_id:
                assets[row.tag].parent_id = parent_id
                moved.append(assets[row.tag])
        Asset.objects.bulk_update(moved, ["parent"], batch_size=500)
        return assets

    def _points(self, assets: dict[str, Asset]) -> dict[str, Point]:
        wanted = {}
        for asset_row in self._asset_rows():
            asset = assets[asset_row.tag]
            for row in self.facility.points_of(asset_row):
                wanted[f"{asset.tag}.{row.quantity}"] = _point_wanted(asset, row)
        return self._sync(Point, "tag", Point.objects.filter(tag__in=wanted), wanted)

    def _links(self, assets: dict[str, Asset]) -> list[int]:
        existing = {
            (link.kind, link.source_id, link.target_id): link
            for link in AssetLink.objects.filter(source__in=assets.values())
        }
        kept, new, changed = [], [], []
        for row in self.facility.links:
            key = (row.kind, assets[row.source].pk, assets[row.target].pk)
            link = existing.get(key)
            if link is None:
                new.append(
                    AssetLink(
                        kind=key[0], source_id=key[1], target_id=key[2], attributes=row.attributes
                    )
                )
                continue
            kept.append(link.pk)
            if link.attributes != row.attributes:
                link.attributes = row.attributes
                changed.append(link)
        AssetLink.objects.bulk_create(new)
        AssetLink.objects.bulk_update(changed, ["attributes"], batch_size=500)
        self.created += len(new)
        self.updated += len(changed)
        self.unchanged += len(kept) - len(changed)
        return kept + [link.pk for link in new]

    def _redundancy(self, points: dict[str, Point]) -> list[str]:
        """Groups with their points and reference; a group that changed is written anew."""
        existing = {
            group.name: group for group in RedundancyGroup.objects.prefetch_related("points")
        }
        for row in self.facility.redundancy:
            reference_id = points[row.reference].pk if row.reference else None
            ids = {points[tag].pk for tag in row.points}
            group = existing.get(row.name)
            if group is None:
                group = RedundancyGroup.objects.create(
                    name=row.name, reference_id=reference_id, tolerance=row.tolerance
                )
                self.created += 1
            else:
                same = (group.reference_id, group.tolerance) == (reference_id, row.tolerance)
                if same and {point.pk for point in group.points.all()} == ids:
                    self.unchanged += 1
                    continue
                group.reference_id, group.tolerance = reference_id, row.tolerance
                group.save()
                self.updated += 1
            group.points.set(ids)
        return [row.name for row in self.facility.redundancy]

    def _rules(self, points: dict[str, Point]) -> dict[str, AlarmRule]:
        wanted = {
            row.name: Wanted(
                row.line,
                {
                    "point_id": points[row.point].pk if row.point else None,
                    "asset_kind": row.kind,
                    "quantity": row.quantity,
                    "comparator": row.comparator,
                    "raise_level": row.raise_level,
                    "clear_level": row.clear_level,
                    "delay_s": row.delay_s,
                    "severity": row.severity,
                    "message": row.message,
                    "basis": row.basis,
                    "enabled": row.enabled,
                    "kind": row.type,
                    "parameters": row.parameters,
                    "safety": row.safety,
                },
            )
            for row in self.facility.rules
        }
        return self._sync(AlarmRule, "name", AlarmRule.objects.filter(name__in=wanted), wanted)


def _point_wanted(asset: Asset, row: PointRow) -> Wanted:
    low, high = row.range or (None, None)
    write_min, write_max = row.write or (None, None)
    return Wanted(
        row.line,
        {
            "asset_id": asset.pk,
            "name": f"{asset.name} {_lower_first(row.name)}",
            "quantity": row.quantity,
            "brick_class": row.brick,
            "unit": row.unit,
            "min_value": low,
            "max_value": high,
            "precision": row.precision,
            "sampling_interval_s": row.sampling_s,
            "response_time_s": row.tau_s,
            "source_interface": row.interface,
            "writable": row.writable,
            "write_min": write_min,
            "write_max": write_max,
            "enum": row.enum,
        },
    )


def _lower_first(name: str) -> str:
    """Make ``Supply air`` ``supply air``; leave ``IT power`` as it is."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def _prune(extra: dict[str, models.QuerySet[Any]]) -> int:
    """Delete what the file does not name: history first, places last."""
    points = list(extra["points"].values_list("pk", flat=True))
    alarms = Alarm.objects.filter(models.Q(point__in=points) | models.Q(rule__in=extra["rules"]))
    count, _ = alarms.delete()
    Reading.objects.filter(point_id__in=points).delete()
    LatestReading.objects.filter(point_id__in=points).delete()
    for name in ("rules", "redundancy groups", "links", "points", "assets", "racks", "halls"):
        deleted, _ = extra[name].delete()
        count += deleted
    return count
