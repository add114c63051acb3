"""What the plant reads from `facility.yaml`: assets by kind, and every point's instrument."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from facilities.demo.file import DEMO_FILE, repeated


@dataclass(frozen=True)
class AssetSpec:
    """One asset; `rack` is the tag of the rack that it stands in, if any."""

    tag: str
    kind: str
    rack: str | None
    attributes: dict[str, Any]


@dataclass(frozen=True)
class PointSpec:
    """One instrument or setpoint; `tau_s` is its first-order response time."""

    tag: str
    asset: str
    kind: str
    quantity: str
    unit: str
    minimum: float
    maximum: float
    precision: float
    tau_s: float
    is_state: bool
    writable: bool
    write_min: float
    write_max: float


@dataclass(frozen=True)
class FacilitySpec:
    """Assets in file order and their points, grouped by asset and then by template order."""

    assets: tuple[AssetSpec, ...]
    points: tuple[PointSpec, ...]
    rules: tuple[dict[str, Any], ...]
    _by_tag: dict[str, PointSpec] = field(repr=False, default_factory=dict)
    _by_kind: dict[str, tuple[AssetSpec, ...]] = field(repr=False, default_factory=dict)
    _places: dict[tuple[str, str], int] = field(repr=False, default_factory=dict)

    def of_kind(self, kind: str) -> tuple[AssetSpec, ...]:
        """The assets of one kind in file order; arrays of the physics use this order."""
        return self._by_kind.get(kind, ())

    def place(self, kind: str, tag: str) -> int:
        """Where an asset stands in the arrays of its kind; KeyError for an unknown one."""
        return self._places[kind, tag]

    def point(self, tag: str) -> PointSpec | None:
        return self._by_tag.get(tag)


def _point(asset: AssetSpec, template: dict[str, Any]) -> PointSpec:
    minimum, maximum = template["range"]
    write_min, write_max = template.get("write", (minimum, maximum))
    writable = bool(template.get("writable", False))
    return PointSpec(
        tag=f"{asset.tag}.{template['quantity']}",
        asset=asset.tag,
        kind=asset.kind,
        quantity=template["quantity"],
        unit=template["unit"],
        minimum=float(minimum),
        maximum=float(maximum),
        precision=float(template["precision"]),
        tau_s=float(template["tau_s"]),
        is_state=writable or "enum" in template,
        writable=writable,
        write_min=float(write_min),
        write_max=float(write_max),
    )


def read_facility(path: Path = DEMO_FILE) -> FacilitySpec:
    """Read and expand a facility file.

    Raises OSError or KeyError for a file that `load_facility` would also refuse; that command
    gives the readable message, so this reader does not repeat its checks.
    """
    document: dict[str, Any] = YAML(typ="safe").load(path)
    entries = [
        {
            "tag": rack["tag"],
            "kind": "rack",
            "rack": rack["tag"],
            "attributes": {**rack, **rack.get("attributes", {})},
        }
        for rack in document["racks"]
    ]
    entries += [copy for entry in document["assets"] for copy in repeated(entry)]
    assets = tuple(
        AssetSpec(
            tag=entry["tag"],
            kind=entry["kind"],
            rack=entry.get("rack"),
            attributes=dict(entry.get("attributes", {})),
        )
        for entry in entries
    )
    by_kind: dict[str, list[AssetSpec]] = {}
    for asset in assets:
        by_kind.setdefault(asset.kind, []).append(asset)
    points = tuple(
        _point(asset, template)
        for asset in assets
        for template in document["point_templates"].get(asset.kind, ())
    )
    return FacilitySpec(
        assets=assets,
        points=points,
        rules=tuple(document["alarm_rules"]),
        _by_tag={point.tag: point for point in points},
        _by_kind={kind: tuple(members) for kind, members in by_kind.items()},
        _places={
            (kind, asset.tag): place
            for kind, members in by_kind.items()
            for place, asset in enumerate(members)
        },
    )
