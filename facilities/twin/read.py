"""A site from a facility file, for tests, benchmarks and offline evaluation. No database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from facilities.demo.file import DEMO_FILE, repeated

from .site import AssetRecord, LinkRecord, Site


def read_site(path: Path = DEMO_FILE) -> Site:
    """The site of a facility file that ``load_facility`` takes. Raises OSError, KeyError."""
    document: dict[str, Any] = YAML(typ="safe").load(path)
    assets = [
        AssetRecord(
            rack["tag"], "rack", rack["hall"], None, None, {**rack, **rack.get("attributes", {})}
        )
        for rack in document["racks"]
    ]
    for entry in (copy for written in document["assets"] for copy in repeated(written)):
        assets.append(
            AssetRecord(
                entry["tag"],
                entry["kind"],
                entry.get("hall"),
                entry.get("rack"),
                entry.get("parent"),
                entry.get("attributes", {}),
            )
        )
    links = [
        LinkRecord(link["source"], link["target"], link["kind"], link.get("attributes", {}))
        for entry in document["links"]
        for link in repeated(entry)
    ]
    return Site(assets, links, name=document["site"]["name"])


def multiplied(site: Site, copies: int) -> Site:
    """``copies`` of a site side by side, tags and halls prefixed ``s0-``, ``s1-``…: large sites for
    benchmarks.
    """
    assets: list[AssetRecord] = []
    links: list[LinkRecord] = []
    for number in range(copies):

        def named(tag: str | None, prefix: str = f"s{number}-") -> str | None:
            return f"{prefix}{tag}" if tag else tag

        known = site.place
        for asset in site.assets:
            attributes = {
                name: named(value) if isinstance(value, str) and value in known else value
                for name, value in asset.attributes.items()
            }
            for name, value in attributes.items():
                if isinstance(value, list):
                    attributes[name] = [named(v) if v in known else v for v in value]
            assets.append(
                replace(
                    asset,
                    tag=f"s{number}-{asset.tag}",
                    hall=named(asset.hall),
                    rack=named(asset.rack),
                    parent=named(asset.parent),
                    attributes=attributes,
                )
            )
        links += [
            link._replace(source=f"s{number}-{link.source}", target=f"s{number}-{link.target}")
            for link in site.links
        ]
    return Site(assets, links, name=f"{copies} x {site.name}")
