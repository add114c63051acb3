"""From YAML text to typed rows, each with the line it stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from .fields import Fields, plain, repeated
from .problems import FacilityFileError, Problem, Problems


@dataclass(frozen=True, slots=True)
class SiteRow:
    line: int
    slug: str
    name: str
    timezone: str


@dataclass(frozen=True, slots=True)
class HallRow:
    line: int
    slug: str
    name: str
    width_m: float
    depth_m: float


@dataclass(frozen=True, slots=True)
class RackRow:
    line: int
    tag: str
    hall: str
    row: int
    position: int
    x_m: float
    y_m: float
    rated_w: float
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PointRow:
    """A point template, or a point of one asset. Limits are in ``unit``."""

    line: int
    quantity: str
    name: str
    brick: str
    unit: str
    range: tuple[float, float] | None
    precision: float | None
    sampling_s: float | None
    tau_s: float | None
    interface: str
    writable: bool
    write: tuple[float, float] | None
    enum: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class AssetRow:
    line: int
    tag: str
    kind: str
    name: str
    hall: str
    rack: str
    parent: str
    attributes: dict[str, Any]
    points: tuple[PointRow, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkRow:
    line: int
    kind: str
    source: str
    target: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RedundancyRow:
    """Points that measure the same; ``tolerance`` in their unit."""

    line: int
    name: str
    points: tuple[str, ...]
    reference: str
    tolerance: float | None


@dataclass(frozen=True, slots=True)
class RuleRow:
    line: int
    name: str
    kind: str
    quantity: str
    point: str
    comparator: str
    raise_level: float
    clear_level: float
    delay_s: float
    severity: str
    message: str
    basis: str
    enabled: bool
    type: str = "threshold"
    parameters: dict[str, Any] = field(default_factory=dict)
    safety: bool = False


@dataclass(slots=True)
class Facility:
    """A whole facility file."""

    site: SiteRow
    halls: list[HallRow] = field(default_factory=list)
    racks: list[RackRow] = field(default_factory=list)
    templates: dict[str, list[PointRow]] = field(default_factory=dict)
    template_lines: dict[str, int] = field(default_factory=dict)
    assets: list[AssetRow] = field(default_factory=list)
    links: list[LinkRow] = field(default_factory=list)
    redundancy: list[RedundancyRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)

    def points_of(self, asset: AssetRow) -> list[PointRow]:
        """Points of an asset: its kind's templates, replaced or extended by its own."""
        rows = {row.quantity: row for row in self.templates.get(asset.kind, ())}
        rows.update({row.quantity: row for row in asset.points})
        return list(rows.values())


SECTIONS = (
    "site",
    "halls",
    "racks",
    "point_templates",
    "assets",
    "links",
    "redundancy_groups",
    "alarm_rules",
)


def read_document(path: Path, problems: Problems) -> Facility:
    """Read the file; shape and type errors go to ``problems``.

    Raises ``FacilityFileError`` at once when the file is not readable YAML.
    """
    top = Fields(_load_yaml(path), 1, "the file", problems)
    site = _site(top)
    facility = Facility(site=site)
    for item in top.items("halls"):
        facility.halls.append(_hall(item))
    for item in top.items("racks"):
        for one in repeated(item):
            facility.racks.append(_rack(one))
    for kind, line, items in top.lists_by_name("point_templates"):
        facility.template_lines[kind] = line
        facility.templates[kind] = [_point(item) for item in items]
    for item in top.items("assets"):
        for one in repeated(item):
            facility.assets.append(_asset(one))
    for item in top.items("links"):
        for one in repeated(item):
            facility.links.append(_link(one))
    for item in top.items("redundancy_groups"):
        for one in repeated(item):
            facility.redundancy.append(_redundancy(one))
    for item in top.items("alarm_rules"):
        facility.rules.append(_rule(item))
    top.finish()
    return facility


def _load_yaml(path: Path) -> CommentedMap:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FacilityFileError([Problem(0, f"{path} cannot be read: {error}")]) from error
    try:
        data = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        what = (error.problem or "not YAML").split("\n")[0]
        raise FacilityFileError([Problem(line, f"not readable as YAML: {what}")]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise FacilityFileError([Problem(0, f"{path} is not readable as YAML: {error}")]) from error
    if not isinstance(data, CommentedMap):
        raise FacilityFileError(
            [Problem(1, f"a facility file is a mapping of {', '.join(SECTIONS)}")]
        )
    return data


def _site(top: Fields) -> SiteRow:
    item = top.mapping("site")
    row = SiteRow(
        line=item.line,
        slug=item.text("slug"),
        name=item.text("name"),
        timezone=item.text("timezone", "UTC"),
    )
    item.finish()
    return row


def _hall(item: Fields) -> HallRow:
    row = HallRow(
        line=item.line,
        slug=item.text("slug"),
        name=item.text("name"),
        width_m=item.number("width_m"),
        depth_m=item.number("depth_m"),
    )
    item.finish()
    return row


def _attributes(item: Fields) -> dict[str, Any]:
    attributes = plain(item.raw("attributes")) or {}
    if isinstance(attributes, dict):
        return attributes
    item.problem("attributes", "must be a mapping of names to values")
    return {}


def _rack(item: Fields) -> RackRow:
    row = RackRow(
        line=item.line,
        tag=item.text("tag"),
        hall=item.text("hall"),
        row=item.whole("row"),
        position=item.whole("position"),
        x_m=item.number("x_m"),
        y_m=item.number("y_m"),
        rated_w=item.number("rated_w"),
        attributes=_attributes(item),
    )
    item.finish()
    return row


def _point(item: Fields) -> PointRow:
    enum = item.raw("enum")
    if enum is not None and not isinstance(enum, dict):
        item.problem("enum", "must map values to names, for example {0: off, 1: on}")
        enum = None
    row = PointRow(
        line=item.line,
        quantity=item.text("quantity"),
        name=item.text("name"),
        brick=item.text("brick", ""),
        unit=item.text("unit", ""),
        range=item.pair("range"),
        precision=item.maybe_number("precision"),
        sampling_s=item.maybe_number("sampling_s"),
        tau_s=item.maybe_number("tau_s"),
        interface=item.text("interface", ""),
        writable=item.flag("writable", False),
        write=item.pair("write"),
        enum={str(key): str(value) for key, value in enum.items()} if enum else None,
    )
    item.finish()
    return row


def _asset(item: Fields) -> AssetRow:
    row = AssetRow(
        line=item.line,
        tag=item.text("tag"),
        kind=item.text("kind"),
        name=item.text("name"),
        hall=item.text("hall", ""),
        rack=item.text("rack", ""),
        parent=item.text("parent", ""),
        attributes=_attributes(item),
        points=tuple(_point(point) for point in item.items("points")),
    )
    item.finish()
    return row


def _redundancy(item: Fields) -> RedundancyRow:
    points = plain(item.raw("points"))
    if not isinstance(points, list) or not all(isinstance(tag, str) for tag in points):
        item.problem("points", "must be a list of point tags")
        points = []
    row = RedundancyRow(
        line=item.line,
        name=item.text("name"),
        points=tuple(points),
        reference=item.text("reference", ""),
        tolerance=item.maybe_number("tolerance"),
    )
    item.finish()
    return row


def _link(item: Fields) -> LinkRow:
    row = LinkRow(
        line=item.line,
        kind=item.text("kind"),
        source=item.text("source"),
        target=item.text("target"),
        attributes=_attributes(item),
    )
    item.finish()
    return row


def _rule(item: Fields) -> RuleRow:
    above, below = item.maybe_number("above"), item.maybe_number("below")
    name = item.text("name")
    if (above is None) == (below is None):
        item.problems.add(
            item.line, f"rule {name}: give either above or below, exactly one of them"
        )
    parameters = plain(item.raw("parameters")) or {}
    if not isinstance(parameters, dict):
        item.problem("parameters", "must be a mapping of names to values")
        parameters = {}
    level = above if above is not None else below
    clear = item.maybe_number("clear")
    row = RuleRow(
        line=item.line,
        name=name,
        kind=item.text("kind", ""),
        quantity=item.text("quantity", ""),
        point=item.text("point", ""),
        comparator="above" if above is not None else "below",
        raise_level=level if level is not None else 0.0,
        clear_level=clear if clear is not None else (level if level is not None else 0.0),
        delay_s=item.number("delay_s", 0.0),
        severity=item.text("severity"),
        message=item.text("message", ""),
        basis=item.text("basis", ""),
        enabled=item.flag("enabled", True),
        type=item.text("type", "threshold"),
        parameters=parameters,
        safety=item.flag("safety", False),
    )
    item.finish()
    return row
