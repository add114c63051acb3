"""Put the load of a UPS on its static bypass: on mains, without its battery."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation, Write
from approvals.catalogue.command import Command
from approvals.catalogue.situation import Situation

# Load up to which one UPS can take over the load of two, % (MOP-UPS-02 asks for less than 40 %
# each; 45 % leaves a tenth).
SHARED_PCT = 45.0
# Least input voltage to transfer to, V (EN 50160: 400 V less 10 %).
LEAST_V = 360.0


class TransferUpsToBypass(Command):
    name = "transfer_ups_to_bypass"
    title = "Transfer UPS to bypass"
    risk = "high"
    target_kind = "ups"
    points = (("ups", "bypass"),)
    quantity, order, verb = "bypass", 1.0, "Transfer to bypass:"
    cool_down_s = 600.0  # assumed: no second transfer before the first one is understood
    summary = "Put the load of a UPS on mains through its static bypass. A loss of mains drops it."
    step_words = (("bypass",), ("transfer", "put", "switch", "to "))
    step_not = ("return", "back", "leave", "off ")
    query = "transfer the UPS to static bypass, inverter fault"

    def candidates(self, situation: Situation) -> list[Action]:
        """A UPS that lives on its battery although there is mains: its rectifier has failed."""
        return [
            Action(self.name, ups.tag, {}, (self._drains(ups.tag, ups.name),))
            for ups in situation.upss
            if ups.tag == situation.subject and ups.on_battery and not ups.bypass
            if situation.value(f"{ups.tag}.input_v") >= LEAST_V
            and self.tag(ups.tag) in situation.limits
            and situation.has(self.tag(ups.tag))
        ]

    def _drains(self, tag: str, name: str) -> Condition:
        return Condition(f"{tag}.on_battery", ">=", 1, f"{name} still empties its battery")

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        mains = tuple(
            t
            for t in situation.upstream(tag, link="power")
            if situation.kind_of(t) == "utility"
        )  # fmt: skip
        peers = situation.peers(tag, link="power")
        return [
            self.change(action, "it is on its inverter now"),
            Condition(f"{tag}.input_v", ">=", LEAST_V, "there must be mains to transfer to"),
            *(
                Condition(f"{t}.available", ">=", 1, "the bypass has nothing behind it but mains")
                for t in mains
            ),
            *(
                condition
                for other in peers
                for condition in (
                    Condition(f"{other}.on_battery", "<", 1, "the other feed must be healthy"),
                    Condition(f"{other}.bypass", "<", 1, "never both feeds without a battery"),
                    Condition(
                        f"{other}.load_pct", "<=", SHARED_PCT,
                        "the other feed takes all of the load when this one drops",
                    ),
                )
            ),
            *(
                [Condition(f"{tag}.load_pct", "<=", SHARED_PCT, "the other feed must carry it too")]
                if peers
                else []
            ),
        ]  # fmt: skip

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """The feed stays alive: the UPS keeps at least half of its load."""
        ups = situation.ups(action.target)
        load_w = ups.load_w if ups else 0.0
        return feed_stays(action, situation, load_w, (self.confirmed(action, "it reports bypass"),),
                          self.undo(action, situation))  # fmt: skip

    def merit(self, action: Action, situation: Situation) -> float | None:
        """Nothing else takes the load off a battery that nobody charges."""
        return 1.0 if action.grounds else None


def feed_stays(
    action: Action,
    situation: Situation,
    load_w: float,
    confirm: tuple[Condition, ...],
    rollback: tuple[Write, ...],
) -> Expectation:
    """The load of the UPS does not fall below half of what it is now."""
    return Expectation(
        tag=f"{action.target}.load_w",
        direction="above",
        threshold=round(0.5 * load_w),
        unit="W",
        window_s=situation.window_s,
        sentence=f"{situation.name(action.target)} goes on carrying its load of "
        f"{load_w / 1000:.0f} kW for {situation.window_s:.0f} s",
        relief_w=0.0,
        confirm=confirm,
        rollback=rollback,
    )
