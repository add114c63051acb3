"""The data list as the twin reads it."""

from __future__ import annotations

from facilities.models import Asset, AssetLink, Rack
from facilities.models.asset import AssetKind
from facilities.models.site import Site as SiteRow
from facilities.twin.site import AssetRecord, LinkRecord, Site


def load_site() -> Site:
    """Every asset and link of the data list. Four queries; order by id, so it is stable.

    Raises ``SiteError`` for links to what is not there (cannot happen with our own tables).
    """
    racks = {rack.tag: rack for rack in Rack.objects.select_related("hall")}
    assets = []
    for asset in Asset.objects.select_related("hall", "rack", "parent").order_by("pk"):
        attributes = dict(asset.attributes)
        rack = racks.get(asset.tag) if asset.kind == AssetKind.RACK else None
        if rack is not None:
            attributes |= {
                "x_m": rack.x_m,
                "y_m": rack.y_m,
                "rated_w": rack.rated_w,
                "row": rack.row,
                "position": rack.position,
            }
        assets.append(
            AssetRecord(
                asset.tag,
                asset.kind,
                asset.hall.slug if asset.hall else (rack.hall.slug if rack else None),
                asset.rack.tag if asset.rack else None,
                asset.parent.tag if asset.parent else None,
                attributes,
            )
        )
    links = [
        LinkRecord(link.source.tag, link.target.tag, link.kind, link.attributes)
        for link in AssetLink.objects.select_related("source", "target").order_by("pk")
    ]
    name = SiteRow.objects.order_by("pk").values_list("name", flat=True).first() or ""
    return Site(assets, links, name=name)
