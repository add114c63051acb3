"""Keep new work off a server; what runs on it goes on."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import Command
from approvals.catalogue.cooling import unmeasured
from approvals.catalogue.nodes import subject_server, trouble
from approvals.catalogue.situation import Situation


class CordonNode(Command):
    name = "cordon_node"
    title = "Cordon node"
    risk = "low"
    target_kind = "server"
    points = (("server", "cordoned"),)
    quantity, order, verb = "cordoned", 1.0, "Cordon"
    summary = "Keep new work off a server. Running jobs stay until they are launched again."
    step_words = (("cordon",),)
    step_not = ("uncordon", "lift")
    query = "cordon the server, no new work on it"

    def candidates(self, situation: Situation) -> list[Action]:
        server = situation.server(subject_server(situation))
        if server is None or server.cordoned or not situation.has(self.tag(server.tag)):
            return []
        if self.tag(server.tag) not in situation.limits:
            return []
        return [Action(self.name, server.tag, {}, trouble(server.tag, situation))]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [self.change(action, "new work may land on it now")]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return unmeasured(
            f"No new work lands on {situation.name(action.target)}; nothing to measure until the "
            "next launch",
            window_s=situation.window_s,
            confirm=(self.confirmed(action, "the scheduler has noted it"),),
            rollback=self.undo(action, situation),
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """It helps no running job."""
        return 0.3


class UncordonNode(Command):
    name = "uncordon_node"
    title = "Uncordon node"
    risk = "low"
    target_kind = "server"
    points = (("server", "cordoned"),)
    quantity, order, verb = "cordoned", 0.0, "Uncordon"
    summary = "Let new work land on a server again."
    step_words = (("uncordon", "lift"), ("server", "node", "cordon"))
    query = "uncordon the server, return it to the scheduler"

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [self.change(action, "it is cordoned now")]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return unmeasured(
            f"New work may land on {situation.name(action.target)}; nothing to measure until the "
            "next launch",
            window_s=situation.window_s,
            confirm=(self.confirmed(action, "the scheduler has noted it"),),
            rollback=self.undo(action, situation),
        )
