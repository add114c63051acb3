"""Points and alarm levels of a facility file, for tests, benchmarks and offline evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from facilities.demo.file import DEMO_FILE
from facilities.twin.site import Site

from .points import Key, PointSpec


def read_specs(site: Site, path: Path = DEMO_FILE) -> tuple[list[PointSpec], dict[Key, float]]:
    """The points that the file's templates give to the site's assets, and its alarm levels."""
    document: dict[str, Any] = YAML(typ="safe").load(path)
    specs = []
    for asset in site.assets:
        for point in document["point_templates"].get(asset.kind, ()):
            low, high = point.get("range", (None, None))
            specs.append(
                PointSpec(
                    f"{asset.tag}.{point['quantity']}",
                    asset.kind,
                    asset.tag,
                    point["quantity"],
                    point["unit"],
                    point.get("precision"),
                    point.get("tau_s"),
                    point.get("sampling_s"),
                    low,
                    high,
                )
            )
    levels = {
        (rule["kind"], rule["quantity"]): float(rule["above"])
        for rule in document["alarm_rules"]
        if "kind" in rule and "above" in rule and rule.get("type", "threshold") == "threshold"
    }
    return specs, levels
