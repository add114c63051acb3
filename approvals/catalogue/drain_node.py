"""Take a server out of service: its jobs leave it at the next checkpoint."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import Command
from approvals.catalogue.nodes import idles, subject_server, trouble
from approvals.catalogue.situation import Situation


class DrainNode(Command):
    name = "drain_node"
    title = "Drain node"
    risk = "medium"
    target_kind = "server"
    points = (("server", "in_service"),)
    quantity, order, verb = "in_service", 0.0, "Drain"
    cool_down_s = 300.0  # assumed: a job needs two minutes to regroup
    summary = "Take a server out of service: jobs restart without it and run on what is left."
    step_words = (("drain",), ("server", "node", "host"))
    query = "drain the server after the next checkpoint, XID error, throttling GPU"

    def candidates(self, situation: Situation) -> list[Action]:
        server = situation.server(subject_server(situation))
        if server is None or not server.in_service or not self._writable(server.tag, situation):
            return []
        return [Action(self.name, server.tag, {}, trouble(server.tag, situation))]

    def _writable(self, target: str, situation: Situation) -> bool:
        return self.tag(target) in situation.limits and situation.has(self.tag(target))

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [self.change(action, "it is in service now")]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return idles(
            action.target,
            situation,
            confirm=(self.confirmed(action, "the scheduler has taken it out"),),
            rollback=self.undo(action, situation),
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """A server in trouble holds its whole job back; without a GPU that says so, a guess."""
        return 0.9 if action.grounds else 0.5
