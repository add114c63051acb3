"""Put a drained server back into service."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import Command
from approvals.catalogue.cooling import unmeasured
from approvals.catalogue.nodes import SLOWER, gpus_of
from approvals.catalogue.situation import Situation


class ReturnNode(Command):
    name = "return_node"
    title = "Return node"
    risk = "medium"
    target_kind = "server"
    points = (("server", "in_service"),)
    quantity, order, verb = "in_service", 1.0, "Return"
    cool_down_s = 300.0  # assumed, as for draining
    summary = "Put a drained server back into service, once none of its GPUs reports an error."
    step_words = (("return",), ("server", "node"))
    query = "return the server to the scheduler after the repair"

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            self.change(action, "it is out of service now"),
            *(
                Condition(f"{g.tag}.xid", "<", 1, f"{g.name} must be free of errors first")
                for g in gpus_of(action.target, situation)
            ),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """A job on it keeps its pace; without one nothing tells."""
        rollback = self.undo(action, situation)
        confirm = (self.confirmed(action, "the scheduler has it again"),)
        window_s = SLOWER * situation.window_s
        job = next(iter(situation.jobs_on([action.target])), None)
        if job is None or not situation.has(f"{job.tag}.throughput_pct"):
            said = "no job says whether it uses the server again"
            return unmeasured(said, window_s=window_s, confirm=confirm, rollback=rollback)
        return Expectation(
            tag=f"{job.tag}.throughput_pct",
            direction="above",
            threshold=80.0,
            unit="%",
            window_s=window_s,
            sentence=f"{job.name} runs above 80 % of its pace within {window_s:.0f} s "
            f"(now {situation.value(f'{job.tag}.throughput_pct'):.0f} %)",
            relief_w=0.0,
            confirm=confirm,
            rollback=rollback,
        )
