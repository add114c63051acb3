"""Take the load of a UPS from its static bypass back to the inverter."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import Command
from approvals.catalogue.situation import Situation
from approvals.catalogue.transfer_ups_to_bypass import feed_stays


class ReturnUpsFromBypass(Command):
    name = "return_ups_from_bypass"
    title = "Return UPS from bypass"
    risk = "high"
    target_kind = "ups"
    points = (("ups", "bypass"),)
    quantity, order, verb = "bypass", 0.0, "Return from bypass:"
    cool_down_s = 600.0  # assumed, as for the way there
    summary = "Put the load of a UPS back on its inverter and battery."
    step_words = (("bypass",), ("return", "back", "leave"))
    query = "return the UPS from bypass to the inverter"

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            self.change(action, "it is on bypass now"),
            *(
                Condition(f"{other}.on_battery", "<", 1, "the other feed must be healthy")
                for other in situation.peers(action.target, link="power")
            ),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """The feed stays alive: the UPS keeps at least half of its load."""
        ups = situation.ups(action.target)
        load_w = ups.load_w if ups else 0.0
        return feed_stays(action, situation, load_w, (self.confirmed(action, "it left bypass"),),
                          self.undo(action, situation))  # fmt: skip
