"""What a kilowatt-hour costs, in money and in carbon: attributes of the utility feed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from facilities.twin.site import Site

PRICE_PER_KWH: Final = 0.20
"""Assumed where the utility feed has no attribute ``price_per_kwh``."""

CARBON_G_KWH: Final = 380.0
"""Assumed where the utility feed has no attribute ``carbon_g_kwh``."""

CURRENCY: Final = "EUR"

DIESEL_KG_L: Final = 74.1e-3 * 43.0 * 0.84
"""kg CO2 per litre, assumed: 74.1 t/TJ and 43.0 MJ/kg (IPCC 2006, recalled), density 0.84 kg/L."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """Price and carbon of the utility's energy. ``renewable_share`` 0..1, None when not known.

    ``assumed`` names what no attribute told.
    """

    price_per_kwh: float = PRICE_PER_KWH
    currency: str = CURRENCY
    carbon_g_kwh: float = CARBON_G_KWH
    renewable_share: float | None = None
    assumed: tuple[str, ...] = ()


def tariff_from(attributes: Iterable[Mapping[str, Any]]) -> Tariff:
    """The tariff of the first utility feed that states each item."""
    feeds = list(attributes)

    def number(name: str) -> float | None:
        for feed in feeds:
            try:
                return float(feed[name])
            except (KeyError, TypeError, ValueError):
                continue
        return None

    price, carbon, share = (
        number(name) for name in ("price_per_kwh", "carbon_g_kwh", "renewable_share")
    )
    currency = next((str(feed["currency"]) for feed in feeds if feed.get("currency")), CURRENCY)
    told = {"price_per_kwh": price, "carbon_g_kwh": carbon}
    return Tariff(
        PRICE_PER_KWH if price is None else price,
        currency,
        CARBON_G_KWH if carbon is None else carbon,
        None if share is None else min(max(share, 0.0), 1.0),
        tuple(name for name, value in told.items() if value is None),
    )


def tariff_of(site: Site) -> Tariff:
    """The tariff of a site as the twin knows it."""
    return tariff_from(asset.attributes for asset in site.of_kind("utility"))


def energy_cost(energy_wh: float, of: Site | Tariff) -> float:
    """Price of so much utility energy, in the tariff's currency; negative for a saving."""
    tariff = of if isinstance(of, Tariff) else tariff_of(of)
    return energy_wh / 1000.0 * tariff.price_per_kwh


def carbon_kg(energy_wh: float, of: Site | Tariff) -> float:
    """Carbon dioxide of so much utility energy."""
    tariff = of if isinstance(of, Tariff) else tariff_of(of)
    return energy_wh / 1000.0 * tariff.carbon_g_kwh / 1000.0
