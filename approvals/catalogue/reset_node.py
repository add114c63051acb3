"""Restart the host of a drained server, which clears what a GPU's driver has latched."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation, Write
from approvals.catalogue.command import Command
from approvals.catalogue.cooling import unmeasured
from approvals.catalogue.nodes import (
    IDLE_PCT,
    NEEDS_RESET,
    SLOWER,
    gpus_of,
    subject_server,
    trouble,
)
from approvals.catalogue.situation import Situation


class ResetNode(Command):
    name = "reset_node"
    title = "Reset node"
    risk = "medium"
    target_kind = "server"
    points = (("server", "reset_cmd"),)
    quantity, order, verb = "reset_cmd", 1.0, "Reset"
    cool_down_s = 600.0  # assumed: a host that needs a second restart needs a person
    summary = "Restart the host of a drained server (about 90 s). What is latched is cleared."
    step_words = (("reset", "restart", "reboot"), ("server", "node", "host", "gpu"))
    query = "restart the host, reset the server after an XID error"

    def candidates(self, situation: Situation) -> list[Action]:
        server = situation.server(subject_server(situation))
        if server is None or server.in_service or not situation.has(self.tag(server.tag)):
            return []
        mine = gpus_of(server.tag, situation)
        latched = any(g.xid in NEEDS_RESET for g in mine)
        if not latched or self.tag(server.tag) not in situation.limits:
            return []
        if any(g.util_pct >= IDLE_PCT for g in mine):
            return []
        return [Action(self.name, server.tag, {}, trouble(server.tag, situation))]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.in_service", "<", 1, "it must be drained first"),
            self.change(action, "no reset is under way"),
            *(
                Condition(f"{g.tag}.util_pct", "<", IDLE_PCT, "nothing may run on it any more")
                for g in gpus_of(tag, situation)
            ),
        ]

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        """The command falls back to 0 by itself, so it is not read back."""
        return [Write(self.tag(action.target), self.order, read_back=False)]

    def undo(self, action: Action, situation: Situation) -> tuple[Write, ...]:
        """A restart cannot be undone."""
        return ()

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """The XID is gone when the host is back."""
        window_s = SLOWER * situation.window_s
        bad = next((g for g in gpus_of(action.target, situation) if g.xid), None)
        if bad is None:
            said = f"{situation.name(action.target)} restarts; no GPU of it reports an error now"
            return unmeasured(said, window_s=window_s)
        return Expectation(
            tag=f"{bad.tag}.xid",
            direction="below",
            threshold=0.5,
            unit="1",
            window_s=window_s,
            sentence=f"{bad.name} reports no XID any more within {window_s:.0f} s "
            f"(now {bad.xid:.0f})",
            relief_w=0.0,
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """What is latched goes away with a restart and with nothing else."""
        return 1.0 if action.grounds else None
