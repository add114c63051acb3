"""What must hold between the rows of a facility file. Every message names both sides."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable

from facilities.alarms.kinds import KINDS
from facilities.models.alarm import RuleKind, Severity
from facilities.models.asset import AssetKind, LinkKind
from facilities.tags import ASSET_TAG, QUANTITY

from .document import AssetRow, Facility, PointRow, RuleRow
from .links import link_problems
from .problems import Problems


def check(facility: Facility, problems: Problems) -> None:
    """Note every contradiction inside the file."""
    Checks(facility, problems).run()


def span(limits: tuple[float, float], unit: str) -> str:
    """Write limits as ``-10…60 Cel``."""
    return f"{limits[0]:g}…{limits[1]:g} {unit}".rstrip()


class Checks:
    """The checks of one file, with the rows indexed by name."""

    def __init__(self, facility: Facility, problems: Problems) -> None:
        self.facility, self.add = facility, problems.add
        self.halls = {row.slug: row for row in facility.halls}
        self.racks = {row.tag: row for row in facility.racks}
        self.assets: dict[str, AssetRow] = {}
        self.tag_lines: dict[str, int] = {}

    def run(self) -> None:
        """Run all checks."""
        self._site_and_halls()
        self._racks()
        self._templates()
        self._assets()
        self._links()
        self._redundancy()
        self._rules()

    def _unique(self, what: str, rows: Iterable[tuple[str, int]]) -> None:
        seen: dict[str, int] = {}
        for name, line in rows:
            if name in seen:
                self.add(line, f"{what} {name} is on line {seen[name]} already; rename one of them")
            seen.setdefault(name, line)

    def _site_and_halls(self) -> None:
        site = self.facility.site
        if not ASSET_TAG.match(site.slug) or len(site.slug) > 50:
            self.add(
                site.line, f"site: slug {site.slug!r} must be letters, digits, - and _ (max 50)"
            )
        if site.timezone not in zoneinfo.available_timezones():
            self.add(site.line, f"site {site.slug}: {site.timezone!r} is not a time zone name")
        self._unique("hall", ((row.slug, row.line) for row in self.facility.halls))
        for hall in self.facility.halls:
            if not ASSET_TAG.match(hall.slug):
                self.add(hall.line, f"hall {hall.slug!r}: a slug is letters, digits, - and _")
            for side, metres in (("width_m", hall.width_m), ("depth_m", hall.depth_m)):
                if metres <= 0:
                    self.add(hall.line, f"hall {hall.slug}: {side} {metres:g} must be above 0")

    def _racks(self) -> None:
        places: dict[tuple[str, int, int], tuple[str, int]] = {}
        for rack in self.facility.racks:
            self._tag(rack.tag, rack.line, "rack")
            if rack.rated_w < 0:
                self.add(rack.line, f"rack {rack.tag}: rated_w {rack.rated_w:g} is negative")
            place = (rack.hall, rack.row, rack.position)
            if place in places:
                other, line = places[place]
                self.add(
                    rack.line,
                    f"rack {rack.tag} has the place of rack {other} (line {line}): "
                    f"hall {rack.hall}, row {rack.row}, position {rack.position}",
                )
            places.setdefault(place, (rack.tag, rack.line))
            hall = self.halls.get(rack.hall)
            if hall is None:
                self._missing(rack.line, f"rack {rack.tag}", "hall", rack.hall, self.halls)
                continue
            for axis, metres, limit in (
                ("x_m", rack.x_m, hall.width_m),
                ("y_m", rack.y_m, hall.depth_m),
            ):
                if not 0 <= metres <= limit:
                    self.add(
                        rack.line,
                        f"rack {rack.tag}: {axis} {metres:g} is outside hall {hall.slug}, "
                        f"0…{limit:g} m (line {hall.line})",
                    )

    def _tag(self, tag: str, line: int, what: str) -> None:
        if not ASSET_TAG.match(tag):
            self.add(line, f"{what} {tag!r}: a tag is letters, digits, - and _ (at most 80)")
        if tag in self.tag_lines:
            self.add(line, f"{what} {tag}: the tag is used on line {self.tag_lines[tag]} already")
        self.tag_lines.setdefault(tag, line)

    def _missing(self, line: int, who: str, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        self.add(line, f"{who}: {what} {name!r} is not in the file; it has {shown or 'none'}")

    def _templates(self) -> None:
        for kind, rows in self.facility.templates.items():
            if kind not in AssetKind.values:
                line = self.facility.template_lines[kind]
                self._missing(line, "point_templates", "asset kind", kind, AssetKind.values)
            self._unique(f"quantity of kind {kind}", ((row.quantity, row.line) for row in rows))
            for row in rows:
                self._point(f"{kind}.{row.quantity}", row)

    def _point(self, label: str, row: PointRow) -> None:
        if not QUANTITY.match(row.quantity):
            self.add(row.line, f"point {label}: quantity must be lower-case letters, digits and _")
        if row.range and row.range[0] >= row.range[1]:
            self.add(row.line, f"point {label}: range {span(row.range, row.unit)} is upside down")
        if row.write and not row.writable:
            self.add(
                row.line,
                f"point {label}: write limits {span(row.write, row.unit)} are given, but the point "
                "is not writable; add writable: true or remove them",
            )
        if row.writable and not row.write:
            self.add(row.line, f"point {label} is writable; add write: [low, high]")
        if row.write:
            self._write_limits(label, row, row.write)
        for name, value in (("precision", row.precision), ("sampling_s", row.sampling_s)):
            if value is not None and value <= 0:
                self.add(row.line, f"point {label}: {name} {value:g} must be above 0")
        if row.tau_s is not None and row.tau_s < 0:
            self.add(row.line, f"point {label}: tau_s {row.tau_s:g} is negative")

    def _write_limits(self, label: str, row: PointRow, write: tuple[float, float]) -> None:
        if write[0] >= write[1]:
            self.add(row.line, f"point {label}: write {span(write, row.unit)} is upside down")
        if not row.range:
            return
        for limit, wrong, side in (
            (write[0], write[0] < row.range[0], "below"),
            (write[1], write[1] > row.range[1], "above"),
        ):
            if wrong:
                self.add(
                    row.line,
                    f"point {label}: write limit {limit:g} is {side} its range "
                    f"{span(row.range, row.unit)} (line {row.line})",
                )

    def _assets(self) -> None:
        for asset in self.facility.assets:
            covers_place = (asset.kind == AssetKind.HALL and asset.tag in self.halls) or (
                asset.kind == AssetKind.RACK and asset.tag in self.racks
            )
            if covers_place and asset.tag not in self.assets:
                self.tag_lines.pop(asset.tag, None)
            self._tag(asset.tag, asset.line, "asset")
            self.assets.setdefault(asset.tag, asset)
        for asset in self.facility.assets:
            self._asset(asset)

    def _asset(self, asset: AssetRow) -> None:
        who = f"asset {asset.tag}"
        if asset.kind not in AssetKind.values:
            self._missing(asset.line, who, "kind", asset.kind, AssetKind.values)
        if asset.hall and asset.hall not in self.halls:
            self._missing(asset.line, who, "hall", asset.hall, self.halls)
        rack = self.racks.get(asset.rack)
        if asset.rack and rack is None:
            self._missing(asset.line, who, "rack", asset.rack, self.racks)
        if rack and asset.hall and rack.hall != asset.hall:
            self.add(
                asset.line,
                f"{who}: hall {asset.hall}, but its rack {rack.tag} stands in {rack.hall} "
                f"(line {rack.line})",
            )
        self._unique(f"{who}: own point", ((point.quantity, point.line) for point in asset.points))
        for point in asset.points:
            self._point(f"{asset.tag}.{point.quantity}", point)
        if asset.parent and asset.parent not in self.assets and asset.parent not in self.racks:
            self._missing(asset.line, who, "parent", asset.parent, self.assets)
        above, path = asset.parent, [asset.tag]
        while above in self.assets:
            if above in path:
                if above == asset.tag:
                    self.add(asset.line, f"{who} is above itself: {' → '.join([*path, above])}")
                break
            path.append(above)
            above = self.assets[above].parent

    def _links(self) -> None:
        known = {*self.assets, *self.racks, *self.halls}
        seen: dict[tuple[str, str, str], int] = {}
        for link in self.facility.links:
            who = f"link {link.source} → {link.target}"
            if link.kind not in LinkKind.values:
                self._missing(link.line, who, "kind", link.kind, LinkKind.values)
            for side, tag in (("source", link.source), ("target", link.target)):
                if tag not in known:
                    self._missing(link.line, who, f"{side} asset", tag, known)
            if link.source == link.target:
                self.add(link.line, f"{who}: source and target are the same asset")
            key = (link.kind, link.source, link.target)
            if key in seen:
                self.add(link.line, f"{who} ({link.kind}) is on line {seen[key]} already")
            seen.setdefault(key, link.line)
            for problem in link_problems(link.attributes):
                self.add(link.line, f"{who}: {problem}")

    def _redundancy(self) -> None:
        self._unique("redundancy group", ((row.name, row.line) for row in self.facility.redundancy))
        taken: dict[str, str] = {}
        for group in self.facility.redundancy:
            who = f"redundancy group {group.name}"
            units: dict[str, str] = {}
            for tag in group.points:
                asset, _, quantity = tag.rpartition(".")
                found = [row for row in self._points_by_tag(asset) if row.quantity == quantity]
                if not found:
                    self.add(group.line, f"{who}: point {tag!r} is not in the file")
                    continue
                units[tag] = found[0].unit
                if tag in taken:
                    self.add(group.line, f"{who}: point {tag} is in group {taken[tag]} already")
                taken.setdefault(tag, group.name)
            if len(group.points) < 2:
                self.add(group.line, f"{who}: name at least two points to compare")
            if len(set(units.values())) > 1:
                said = ", ".join(f"{tag} in {unit or '1'}" for tag, unit in units.items())
                self.add(group.line, f"{who}: units differ: {said}")
            if group.reference and group.reference not in group.points:
                self.add(group.line, f"{who}: reference {group.reference} is not one of its points")
            if group.tolerance is not None and group.tolerance <= 0:
                self.add(group.line, f"{who}: tolerance {group.tolerance:g} must be above 0")

    def _rules(self) -> None:
        self._unique("rule", ((row.name, row.line) for row in self.facility.rules))
        for rule in self.facility.rules:
            self._rule(rule)

    def _rule(self, rule: RuleRow) -> None:
        who = f"rule {rule.name}"
        scoped = bool(rule.kind or rule.quantity)
        if bool(rule.point) == scoped or (scoped and not (rule.kind and rule.quantity)):
            self.add(rule.line, f"{who}: name either a point, or a kind and a quantity")
            return
        if rule.severity not in Severity.values:
            self._missing(rule.line, who, "severity", rule.severity, Severity.values)
        if rule.delay_s < 0:
            self.add(rule.line, f"{who}: delay_s {rule.delay_s:g} is negative")
        above = rule.comparator == "above"
        if rule.clear_level > rule.raise_level if above else rule.clear_level < rule.raise_level:
            self.add(
                rule.line,
                f"{who}: clear {rule.clear_level:g} is {rule.comparator} its raise level "
                f"{rule.raise_level:g}; the alarm would clear at once",
            )
        self._rule_type(rule, who)
        point = self._rule_point(rule, who)
        if point is None or point.range is None or rule.type != RuleKind.THRESHOLD:
            return  # other kinds judge a slope, an age, a flag: not in the unit of the range
        low, high = point.range
        for name, level in (("raise", rule.raise_level), ("clear", rule.clear_level)):
            if not low <= level <= high:
                self.add(
                    rule.line,
                    f"{who}: {name} level {level:g} is outside the range "
                    f"{span(point.range, point.unit)} of {point.quantity} (line {point.line})",
                )

    def _rule_type(self, rule: RuleRow, who: str) -> None:
        """Let the rule's kind judge its parameters."""
        if rule.type not in RuleKind.values:
            self._missing(rule.line, who, "type", rule.type, RuleKind.values)
            return
        for problem in KINDS[rule.type].problems(rule.parameters):
            self.add(rule.line, f"{who} ({rule.type}): {problem}")

    def _rule_point(self, rule: RuleRow, who: str) -> PointRow | None:
        """Find the point row the rule is about; note when there is none."""
        if rule.kind:
            if rule.kind not in AssetKind.values:
                self._missing(rule.line, who, "asset kind", rule.kind, AssetKind.values)
                return None
            label, rows = f"kind {rule.kind}", list(self.facility.templates.get(rule.kind, ()))
            for asset in self.facility.assets:
                if asset.kind == rule.kind:
                    rows += asset.points
            quantity = rule.quantity
        else:
            tag, _, quantity = rule.point.rpartition(".")
            label = f"asset {tag}"
            rows = self._points_by_tag(tag)
        for row in rows:
            if row.quantity == quantity:
                return row
        self._missing(rule.line, who, f"quantity of {label}", quantity, {r.quantity for r in rows})
        return None

    def _points_by_tag(self, tag: str) -> list[PointRow]:
        asset = self.assets.get(tag)
        if asset is not None:
            return self.facility.points_of(asset)
        if tag in self.racks:
            return list(self.facility.templates.get(AssetKind.RACK, ()))
        if tag in self.halls:
            return list(self.facility.templates.get(AssetKind.HALL, ()))
        return []
