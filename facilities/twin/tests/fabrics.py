"""Small sites for the tests of the network."""

from __future__ import annotations

from typing import Any

from facilities.twin.network import NetworkConstants
from facilities.twin.site import AssetRecord, LinkRecord, Site

EXACT = NetworkConstants(
    fabric_share=1.0, ecmp_excess=0.0, fabric_alpha_s=0.0, nvlink_alpha_s=0.0, pcie_gb_s=1e6
)
"""Constants that leave the hand calculation: every link gives what is printed on it."""


def leaf_spine(
    *,
    leaves: int = 2,
    spines: int = 2,
    servers: int = 2,
    gpus: int = 1,
    jobs: list[dict[str, Any]] | None = None,
    uplink_gbps: float = 400.0,
    port_gbps: float = 400.0,
    storage: dict[str, Any] | None = None,
) -> Site:
    """``servers`` on each leaf, one link asset from every leaf to every spine."""
    assets, links = [], []
    for leaf in range(leaves):
        assets.append(AssetRecord(f"leaf-{leaf}", "leaf"))
        for place in range(servers):
            tag = f"s{leaf * servers + place}"
            assets.append(AssetRecord(tag, "server"))
            assets += [AssetRecord(f"{tag}-g{n}", "gpu", parent=tag) for n in range(gpus)]
            links.append(
                LinkRecord(
                    tag, f"leaf-{leaf}", "network", {"capacity_gbps": port_gbps, "management": True}
                )
            )
    for spine in range(spines):
        assets.append(AssetRecord(f"spine-{spine}", "spine"))
        for leaf in range(leaves):
            tag = f"l{leaf}-{spine}"
            assets.append(AssetRecord(tag, "link", attributes={"capacity_gbps": uplink_gbps}))
            links.append(LinkRecord(f"leaf-{leaf}", tag, "network", {"management": True}))
            links.append(LinkRecord(tag, f"spine-{spine}", "network", {"management": True}))
    if storage is not None:
        assets.append(AssetRecord("store", "storage", attributes=storage))
        links += [
            LinkRecord("store", f"spine-{spine}", "network", {"capacity_gbps": 400.0})
            for spine in range(spines)
        ]
    for number, attributes in enumerate(jobs or []):
        assets.append(AssetRecord(f"job-{number}", "job", attributes=attributes))
    return Site(assets, links, name="leaf and spine")


def job(*servers: str, **attributes: Any) -> dict[str, Any]:
    """Attributes of a training job."""
    return {"kind": "training", "servers": list(servers), "compute_s": 1.0, **attributes}
