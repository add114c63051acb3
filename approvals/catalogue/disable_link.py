"""Take a network link out of service, or put it back: its twin carries the traffic."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import Command
from approvals.catalogue.equipment import LinkState
from approvals.catalogue.situation import Situation

# The alarm "Link errors" clears below 5 symbol errors a second.
CLEAN_PER_S = 5.0
# Load that the links left may have, % (EOP-NET-01 step 4: the twin stays below 90 %).
FULL_PCT = 90.0


def twins(link: LinkState, situation: Situation) -> tuple[LinkState, ...]:
    """The other links of the same leaf (the end that has the fewer links)."""
    count = {end: sum(end in one.ends for one in situation.links) for end in link.ends}
    leaf = min(link.ends, key=lambda end: (count[end], end))
    return tuple(one for one in situation.links if one.tag != link.tag and leaf in one.ends)


class DisableLink(Command):
    name = "disable_link"
    title = "Disable link"
    risk = "medium"
    target_kind = "link"
    points = (("link", "enabled"),)
    quantity, order, verb = "enabled", 0.0, "Disable"
    cool_down_s = 120.0  # assumed: routing settles within seconds, jobs within a step
    summary = "Take a link that drops or retransmits out of service. Its twin carries the traffic."
    step_words = (("disable", "take", "switch"), ("link",))
    query = "take the link out of the load balancing, disable link with symbol errors"

    def candidates(self, situation: Situation) -> list[Action]:
        link = situation.link(situation.subject)
        if link is None or not link.enabled or situation.quantity not in ("error_rate", "util_pct"):
            return []
        others = [o for o in twins(link, situation) if o.up and o.enabled]
        if not others or min(o.error_rate for o in others) >= CLEAN_PER_S:
            return []
        if self.tag(link.tag) not in situation.limits or not situation.has(self.tag(link.tag)):
            return []
        grounds: tuple[Condition, ...] = ()
        if link.error_rate >= CLEAN_PER_S:
            why = f"{link.name} still has errors"
            grounds = (Condition(f"{link.tag}.error_rate", ">=", CLEAN_PER_S, why),)
        return [Action(self.name, link.tag, {}, grounds)]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        """One clean twin must be up and have room: all links of a leaf carry the same traffic, so
        that k links left get (k + 1) / k of theirs. (The utilisation of the link itself says nothing
        of its traffic: it is a share of what capacity it still has.)
        """
        link = situation.link(action.target)
        others = twins(link, situation) if link else ()
        best = sorted(others, key=lambda o: (not (o.up and o.enabled), o.error_rate, o.tag))[:1]
        tags = [o.tag for o in best] or [action.target]
        left = max(1, sum(o.up and o.enabled for o in others))
        conditions = [self.change(action, "it is in service now")]
        for tag in tags:
            other = situation.name(tag)
            room = f"{other} takes the traffic of both"
            conditions += [
                Condition(f"{tag}.up", ">=", 1, f"{other} must carry the traffic"),
                Condition(f"{tag}.error_rate", "<", CLEAN_PER_S, f"{other} must be clean"),
                Condition(f"{tag}.util_pct", "<=", FULL_PCT * left / (left + 1), room),
            ]
        return conditions

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """Nothing crosses it any more (EOP-NET-01 step 4: below 2 % within one minute)."""
        return Expectation(
            tag=f"{action.target}.util_pct",
            direction="below",
            threshold=2.0,
            unit="%",
            window_s=situation.window_s,
            sentence=f"{situation.name(action.target)} carries less than 2 % within "
            f"{situation.window_s:.0f} s (now {_load(situation.link(action.target)):.0f} %)",
            relief_w=0.0,
            confirm=(self.confirmed(action, "the switch has taken it out"),),
            rollback=self.undo(action, situation),
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """One clean link is better than a clean one and one that retransmits (EOP-NET-01)."""
        return 0.9 if action.grounds else 0.5


class EnableLink(Command):
    name = "enable_link"
    title = "Enable link"
    risk = "medium"
    target_kind = "link"
    points = (("link", "enabled"),)
    quantity, order, verb = "enabled", 1.0, "Enable"
    cool_down_s = 120.0  # assumed, as for disabling
    summary = "Put a link back into service."
    step_words = (("enable", "return"), ("link",))
    query = "return the link to service after cleaning or replacing the optics"

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [self.change(action, "it is out of service now")]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return Expectation(
            tag=f"{action.target}.up",
            direction="above",
            threshold=0.5,
            unit="1",
            window_s=situation.window_s,
            sentence=f"{situation.name(action.target)} is up within {situation.window_s:.0f} s",
            relief_w=0.0,
            confirm=(self.confirmed(action, "the switch has it in service"),),
            rollback=self.undo(action, situation),
        )


def _load(link: LinkState | None) -> float:
    return link.util_pct if link else 0.0
