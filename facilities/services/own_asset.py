"""A source seen as equipment: an asset of kind *source* that carries its heartbeat and the series
that name no equipment of their own."""

from __future__ import annotations

from django.db import transaction

from facilities.converters.keys import tag
from facilities.models import Asset, Site, Source
from facilities.models.asset import AssetKind


def default_site() -> Site:
    """The first site by slug; made when no facility is loaded yet."""
    site = Site.objects.order_by("slug").first()
    if site is None:
        site, _ = Site.objects.get_or_create(slug="site", defaults={"name": "Site"})
    return site


@transaction.atomic
def source_asset(*, source: Source) -> Asset:
    """Return the source's own asset; make it when there is none."""
    if source.asset is not None:
        return source.asset
    name = tag(f"source-{source.name}", 70)
    if Asset.objects.filter(tag=name).exclude(as_source__isnull=True).exists() or (
        Asset.objects.filter(tag=name).exclude(kind=AssetKind.SOURCE).exists()
    ):
        name = f"{name}-{source.pk}"
    asset, _ = Asset.objects.get_or_create(
        tag=name,
        defaults={
            "name": f"Source {source.name}",
            "kind": AssetKind.SOURCE,
            "site": default_site(),
        },
    )
    source.asset = asset
    source.save(update_fields=["asset"])
    return asset
