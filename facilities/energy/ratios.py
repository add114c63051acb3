"""The ratios themselves (ISO/IEC 30134-2, -3, -8, -9) out of rates by interval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from facilities.twin.power import PowerConstants
from facilities.twin.power import chain as losses

from .integrate import Floats, Measured, energy_wh, total
from .meters import Plan
from .prices import DIESEL_KG_L, Tariff, carbon_kg, energy_cost

CONSTANTS: Final = PowerConstants()
CATEGORIES: Final = {1: "ups", 2: "pdu", 3: "rack"}
"""Where IT energy is measured: UPS output, PDU output, input of the IT equipment."""

MEASURED, COMPUTED, REMAINDER = "measured", "computed", "remainder"


@dataclass(frozen=True, slots=True)
class Use:
    """What one end use took. ``basis``: measured, computed by the twin's formulas, remainder."""

    key: str
    label: str
    basis: str
    detail: str
    rate_w: Floats


@dataclass(frozen=True)
class Flows:
    """Rates by interval (K,), NaN where not known."""

    total_w: Floats
    total_from: str
    utility_w: Floats
    generator_w: Floats
    it_w: dict[int, Floats]
    water_lps: Floats
    fuel_lps: Floats
    uses: list[Use]

    def part(self, chosen: slice) -> Flows:
        """The same over some of the intervals."""
        return Flows(
            self.total_w[chosen],
            self.total_from,
            self.utility_w[chosen],
            self.generator_w[chosen],
            {number: rate[chosen] for number, rate in self.it_w.items()},
            self.water_lps[chosen],
            self.fuel_lps[chosen],
            [replace(use, rate_w=use.rate_w[chosen]) for use in self.uses],
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio over the time in which both of its parts are known; None when there is none."""

    value: float | None
    coverage: float


@dataclass(frozen=True, slots=True)
class UseEnergy:
    """Energy of one end use over a period, Wh; ``share`` of the total, ``coverage`` of the time."""

    key: str
    label: str
    basis: str
    detail: str
    energy_wh: float
    share: float | None
    coverage: float


@dataclass(frozen=True)
class Ratios:
    """One period or step. ``category`` is the best PUE category with a value; its IT energy counts
    for WUE and CUE too.
    """

    pue: Ratio
    category: int | None
    categories: dict[int, Ratio]
    wue_l_kwh: Ratio
    cue_kg_kwh: Ratio
    ref: Ratio
    total_wh: float
    it_wh: float
    water_l: float
    carbon_kg: float
    cost: float
    currency: str
    uses: list[UseEnergy]


def flows(plan: Plan, measured: Measured) -> Flows:
    """Combine the meters into what the ratios need."""

    def rate(role: str) -> Floats:
        return total(measured.rate[plan.of(role)])

    utility, generator = rate("utility"), rate("generator")
    if not plan.of("generator"):
        generator = np.where(np.isnan(utility), np.nan, 0.0)
    total_w, source = utility + generator, "utility and generator meters"
    if not plan.of("utility"):
        total_w, source = rate("facility"), "facility meters of the halls"
    pdu_out = _pdu_output(plan, measured)
    it = {1: rate("ups"), 2: pdu_out, 3: rate("rack") if plan.of("rack") else rate("hall_it")}
    rated = sum(_number(plan.meters[n].attributes, "rated_w") for n in plan.of("generator"))
    running = generator > 0
    fuel = running * (
        CONSTANTS.fuel_fixed_l_h_w * rated + CONSTANTS.fuel_l_wh * np.nan_to_num(generator)
    )
    return Flows(
        total_w,
        source,
        utility,
        generator,
        it,
        rate("water"),
        np.asarray(fuel / 3600.0, dtype=np.float64),
        _uses(plan, measured, it, pdu_out, total_w),
    )


def _pdu_output(plan: Plan, measured: Measured) -> Floats:
    """PDU meters stand at the input unless the asset says ``meter: output``."""
    rows = plan.of("pdu")
    rates = measured.rate[rows].copy()
    for n, row in enumerate(rows):
        attributes = plan.meters[row].attributes
        if attributes.get("meter") != "output":
            rated = _number(attributes, "rated_w") or float(np.mean(CONSTANTS.pdu_rated_w))
            rates[n] -= np.minimum(losses.pdu(CONSTANTS).loss_w(rates[n], rated), rates[n])
    return total(rates)


def _uses(
    plan: Plan, measured: Measured, it: dict[int, Floats], pdu_out: Floats, total_w: Floats
) -> list[Use]:
    uses = []
    best = next((it[c] for c in (3, 2, 1) if not np.isnan(it[c]).all()), it[3])
    uses.append(Use("it", "IT equipment", MEASURED, "racks, or the best category there is", best))
    if plan.of("ups"):
        uses.append(_ups_losses(plan, measured))
    if plan.of("pdu"):
        rate = total(measured.rate[plan.of("pdu")]) - pdu_out
        uses.append(Use("pdu_loss", "PDU losses", COMPUTED, "the twin's transformer curve", rate))
    for role, label in (
        ("crac", "Fans (CRAC)"),
        ("chiller", "Chillers"),
        ("tower", "Towers and condenser pumps"),
        ("cdu", "CDU pumps"),
        ("pump", "Chilled water pumps"),
    ):
        if plan.of(role):
            rate = total(measured.rate[plan.of(role)])
            uses.append(Use(role, label, MEASURED, ", ".join(plan.tags(role)[:4]), rate))
    if plan.of("pump_flow") and not plan.of("pump"):
        uses.append(_pumps(plan, measured))
    known = np.where(np.isnan(total_w), np.nan, total_w)
    accounted = np.sum([np.nan_to_num(use.rate_w) for use in uses], axis=0)
    complete = np.all([~np.isnan(use.rate_w) for use in uses], axis=0)
    left = np.where(complete, known - accounted, np.nan)
    detail = "total less all of the above: lighting, charging, wiring, error of the meters"
    uses.append(Use("other", "Lighting and unaccounted", REMAINDER, detail, left))
    return uses


def _ups_losses(plan: Plan, measured: Measured) -> Use:
    rows = plan.of("ups")
    curve = losses.ups(CONSTANTS)
    rates = [
        curve.loss_w(
            measured.rate[row],
            _number(plan.meters[row].attributes, "rated_w")
            or float(np.mean(CONSTANTS.ups_rated_w)),
        )
        for row in rows
    ]
    return Use(
        "ups_loss", "UPS losses", COMPUTED, "the twin's curve at the measured load",
        np.asarray(np.sum(np.asarray(rates), axis=0)),
    )  # fmt: skip


def _pumps(plan: Plan, measured: Measured) -> Use:
    """Affinity laws: power goes with the cube of the flow."""
    rate = np.zeros(measured.rate.shape[1])
    for row in plan.of("pump_flow"):
        attributes = plan.meters[row].attributes
        rated_lps, rated_w = _number(attributes, "flow_lps"), _number(attributes, "power_w")
        share = measured.rate[row] / rated_lps if rated_lps else np.nan * measured.rate[row]
        rate = rate + rated_w * np.minimum(share, 1.2) ** 3
    return Use(
        "pump",
        "Chilled water pumps",
        COMPUTED,
        "rated power and the cube of the measured flow",
        rate,
    )


def ratios_of(flow: Flows, weight: Floats, tariff: Tariff) -> Ratios:
    """The ratios over intervals of which ``weight`` seconds count each, (K,)."""
    seconds = max(float(weight.sum()), 1e-9)

    def matched(above: Floats, below: Floats, factor: float = 1.0) -> Ratio:
        both = ~np.isnan(above) & ~np.isnan(below)
        time = weight * both
        base = float(np.nansum(below * time))
        value = factor * float(np.nansum(above * time)) / base if base > 0 else None
        return Ratio(value, float(time.sum()) / seconds)

    categories = {number: matched(flow.total_w, it_w) for number, it_w in flow.it_w.items()}
    category = _best(categories)
    it_w = flow.it_w[category or 3]
    carbon_w = flow.utility_w * tariff.carbon_g_kwh / 3.6e9 + flow.fuel_lps * DIESEL_KG_L
    renewable = (
        Ratio(None, 0.0)
        if tariff.renewable_share is None
        else matched(flow.utility_w * tariff.renewable_share, flow.total_w)
    )
    total_wh = energy_wh(flow.total_w, weight)
    utility_wh = energy_wh(flow.utility_w, weight)
    return Ratios(
        pue=categories[category] if category else Ratio(None, 0.0),
        category=category,
        categories=categories,
        wue_l_kwh=matched(flow.water_lps, it_w, 3.6e6),
        cue_kg_kwh=matched(carbon_w, it_w, 3.6e6),
        ref=renewable,
        total_wh=total_wh,
        it_wh=energy_wh(it_w, weight),
        water_l=float(np.nansum(flow.water_lps * weight)),
        carbon_kg=carbon_kg(utility_wh, tariff)
        + float(np.nansum(flow.fuel_lps * weight)) * DIESEL_KG_L,
        cost=energy_cost(utility_wh, tariff),
        currency=tariff.currency,
        uses=[
            UseEnergy(
                use.key,
                use.label,
                use.basis,
                use.detail,
                energy_wh(use.rate_w, weight),
                energy_wh(use.rate_w, weight) / total_wh if total_wh > 0 else None,
                float((weight * ~np.isnan(use.rate_w)).sum()) / seconds,
            )
            for use in flow.uses
        ],
    )


def _best(categories: dict[int, Ratio]) -> int | None:
    """The finest category with as much coverage as any (within 1 %)."""
    known = {number: ratio for number, ratio in categories.items() if ratio.value is not None}
    if not known:
        return None
    most = max(ratio.coverage for ratio in known.values())
    return max(number for number, ratio in known.items() if ratio.coverage >= most - 0.01)


def issues(plan: Plan, flow: Flows) -> list[str]:
    """What is missing for a metric, one sentence each."""
    said = []
    if not plan.of("utility"):
        said.append(
            "no point utility.power_w: the total comes from "
            + (flow.total_from if plan.of("facility") else "nowhere; PUE cannot be said")
        )
    for number, role in CATEGORIES.items():
        if not plan.of(role) and not (number == 3 and plan.of("hall_it")):
            said.append(f"no meters for PUE category {number} ({role})")
    if not plan.of("water"):
        said.append("no point tower.makeup_lps: WUE cannot be said")
    if plan.tariff.renewable_share is None:
        said.append("attribute renewable_share of the utility feed is not set: REF cannot be said")
    said += [
        f"attribute {name} of the utility feed is not set: assumed" for name in plan.tariff.assumed
    ]
    if any(plan.meters[n].attributes.get("meter") != "output" for n in plan.of("pdu")):
        said.append(
            "category 2: PDU meters stand at the input; the twin's transformer loss is taken off"
        )
    return said


def _number(attributes: object, name: str) -> float:
    try:
        return float(attributes[name])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return 0.0
