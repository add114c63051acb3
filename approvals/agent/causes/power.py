"""Causes on the power side: utility, generator, UPS, battery, breaker."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.air import WARM_AIR
from approvals.agent.causes.base import Suspicion, rule, said
from approvals.agent.facts import Facts

# Input voltage below this share of nominal 400 V says that the feed is gone (assumed).
LOW_V = 300.0
# String resistance at which a battery is replaced: 30 % above 160 mΩ (the rule "UPS battery worn").
WORN_MOHM = 200.0
ON_BATTERY = frozenset(
    {"ups.on_battery", "ups.battery_pct", "ups.runtime_s", "ups.input_v", "ups.load_pct"}
)


def _lost_utilities(facts: Facts) -> list[str]:
    return [u.tag for u in facts.of_kind("utility") if facts.below(u.tag, "available", 0.5)]


@rule
def utility_lost(facts: Facts) -> Iterator[Suspicion]:
    """The mains are gone; the generator has to carry, and where it does not, load has to go."""
    for utility in _lost_utilities(facts):
        fed = {f"{facts.things[t].kind}.*" for t in facts.downstream(utility, "power", 1)}
        failed = [g.tag for g in facts.of_kind("generator") if _failed(facts, g.tag)]
        running = [g for g in facts.of_kind("generator") if facts.at_least(g.tag, "running", 1)]
        yield (
            Suspicion(
                "utility_lost",
                utility,
                f"{facts.name(utility)} is lost",
                "power",
                2.0,
                frozenset(fed) | ON_BATTERY | WARM_AIR,
                {f"open_work_order@{utility}": 0.35},
            )
            .speaks(True, f"{utility}.available = 0", 40)
            .speaks(
                bool(running),
                f"{facts.name(running[0].tag) if running else ''} runs and carries the load",
                1.2,
            )
            .refuted(f"{utility}.available is 1 again")
        )
        for generator in failed:
            yield (
                Suspicion(
                    "generator_failed",
                    generator,
                    f"{facts.name(generator)} did not start after the utility was lost",
                    "power",
                    2.0,
                    frozenset(fed)
                    | ON_BATTERY
                    | WARM_AIR
                    | {"generator.start_fail", "utility.available"},
                    {
                        "shed_rack_load": 0.8,
                        **{f"shed_rack_load@{tag}": 0.9 for tag in _largest(facts)},
                        f"open_work_order@{generator}": 0.6,
                    },
                )
                .speaks(True, f"{generator}.start_fail = 1", 60)
                .speaks(True, f"{utility} is lost, so the batteries are all there is", 2)
                .refuted(f"{generator}.running is 1")
            )


def _largest(facts: Facts, most: int = 2) -> list[str]:
    """The racks with the most power: capping them saves the most battery."""
    racks = sorted(facts.situation.racks, key=lambda r: (-r.power_w, r.tag))
    return [rack.tag for rack in racks[:most]]


def _failed(facts: Facts, generator: str) -> bool:
    return facts.at_least(generator, "start_fail", 1)


@rule
def generator_alone(facts: Facts) -> Iterator[Suspicion]:
    """A start failure with the mains present (a test start)."""
    if _lost_utilities(facts):
        return
    for generator in facts.of_kind("generator"):
        if _failed(facts, generator.tag):
            yield (
                Suspicion(
                    "generator_failed",
                    generator.tag,
                    f"{generator.name} did not start",
                    "power",
                    1.5,
                    frozenset({"generator.*"}),
                    {f"open_work_order@{generator.tag}": 0.9},
                )
                .speaks(True, f"{generator.tag}.start_fail = 1", 40)
                .refuted(f"{generator.tag}.running is 1")
            )


@rule
def ups_alone(facts: Facts) -> Iterator[Suspicion]:
    """A UPS is on battery although the utility is there: its feed, or its rectifier."""
    utility_there = not _lost_utilities(facts)
    for ups in facts.of_kind("ups"):
        if not facts.at_least(ups.tag, "on_battery", 1):
            continue
        volts = facts.value(ups.tag, "input_v")
        feed = volts is not None and volts < LOW_V
        for cause, text, fits, remedies in (
            (
                "feed_lost",
                f"the feed to {ups.name} is lost",
                feed,
                {f"open_work_order@{ups.tag}": 0.8},
            ),
            (
                "rectifier_failed",
                f"{ups.name}'s rectifier has failed",
                volts is not None and not feed,
                {f"transfer_ups_to_bypass@{ups.tag}": 1.0, f"open_work_order@{ups.tag}": 0.5},
            ),
        ):
            yield (
                Suspicion(cause, ups.tag, text, "power", 1.0, ON_BATTERY, remedies)
                .speaks(True, f"{ups.tag} is on battery", 4)
                .speaks(utility_there, "the utility feed is available", 3)
                .speaks(not utility_there, "the utility is lost, which explains it", 0.02)
                .speaks(fits, f"its input has {said(volts, 'V')}", 8)
                .speaks(volts is not None and not fits, f"its input has {said(volts, 'V')}", 0.05)
                .refuted(f"{ups.tag}.on_battery is 0")
            )


@rule
def batteries_worn(facts: Facts) -> Iterator[Suspicion]:
    """The string resistance of a battery is near or above the level of replacement."""
    for ups in facts.of_kind("ups"):
        ohms = facts.value(ups.tag, "battery_resistance_mohm")
        if ohms is None or ohms < WORN_MOHM:
            continue
        yield (
            Suspicion(
                "battery_worn",
                ups.tag,
                f"{ups.name}'s battery is worn",
                "power",
                1.5,
                frozenset({"ups.battery_resistance_mohm", "ups.runtime_s", "ups.battery_pct"}),
                {f"open_work_order@{ups.tag}": 1.0},
            )
            .speaks(True, f"string resistance {ohms:.0f} mΩ, 30 % above its baseline at 208", 8)
            .refuted(f"{ups.tag}.battery_resistance_mohm falls below 200 mΩ")
        )


@rule
def breakers_open(facts: Facts) -> Iterator[Suspicion]:
    """The main breaker of a PDU is open; the other feed carries its racks."""
    for pdu in facts.of_kind("pdu"):
        if not facts.below(pdu.tag, "breaker_closed", 0.5):
            continue
        yield (
            Suspicion(
                "breaker_open",
                pdu.tag,
                f"the main breaker of {pdu.name} has opened",
                "power",
                2.0,
                frozenset({"pdu.power_w", "pdu.current_a", "ups.load_pct", "rack.power_w"}),
                {f"open_work_order@{pdu.tag}": 0.95, "shed_rack_load": 0.2},
            )
            .speaks(True, f"{pdu.tag}.breaker_closed = 0", 40)
            .speaks(facts.below(pdu.tag, "power_w", 500), f"{pdu.tag} carries no power", 3)
            .refuted(f"{pdu.tag}.breaker_closed is 1")
        )


@rule
def overloaded(facts: Facts) -> Iterator[Suspicion]:
    """A rack, PDU or UPS carries more than it should, and no breaker is open."""
    for alarm in facts.alarmed("Rack power high", "PDU load high", "UPS load high"):
        racks = sorted(facts.downstream(alarm.asset, "power")) if alarm.kind != "rack" else []
        aimed = [alarm.asset] if alarm.kind == "rack" else racks
        yield (
            Suspicion(
                "overload",
                alarm.asset,
                f"{facts.name(alarm.asset)} carries more than it should",
                "power",
                1.0,
                frozenset({"rack.power_w", "pdu.power_w", "ups.load_pct"}),
                {f"shed_rack_load@{tag}": 0.8 for tag in aimed}
                | {f"migrate_rack_load@{tag}": 0.6 for tag in aimed},
            )
            .speaks(True, f"{alarm.tag} = {alarm.value:g}", 4)
            .refuted(f"{alarm.tag} falls below the level at which the alarm clears")
        )
