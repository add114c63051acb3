"""Start a standby CRAC when a running one is lost."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import RunCommand
from approvals.catalogue.cooling import chilled_water, inlet_expectation
from approvals.catalogue.situation import Situation


class StartStandbyCrac(RunCommand):
    name = "start_standby_crac"
    title = "Start standby CRAC"
    risk = "medium"
    target_kind = "crac"
    points = (("crac", "run_cmd"),)
    order, verb = 1.0, "Start standby"
    cool_down_s = 60.0  # assumed: a fan may be started once a minute
    summary = "Command a stopped, fault-free CRAC to run at its present fan and supply setpoints."
    step_words = (("start",), ("standby", "stand-by"), ("crac", "unit"))
    query = "start the standby CRAC after a CRAC fault"

    def candidates(self, situation: Situation) -> list[Action]:
        lost = sorted(situation.lost_units, key=lambda u: u.tag != situation.subject)
        if not lost:
            return []
        down = lost[0]
        why = f"{down.name} is still lost; its capacity has to be replaced"
        grounds = (
            Condition(f"{down.tag}.fault", ">=", 1, why)
            if down.fault
            else Condition(f"{down.tag}.running", "<", 1, why),
        )
        return [
            Action(self.name, u.tag, {}, grounds)
            for u in situation.units
            if not u.running and not u.fault and not u.commanded
        ]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.running", "<", 1, "the unit must be in standby"),
            Condition(f"{tag}.fault", "<", 1, "a faulted unit must not be started remotely"),
            *chilled_water(situation),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        return inlet_expectation(
            situation,
            relief_w=unit.capacity_w if unit else 0.0,
            confirm=(self.reported(action),),
            rollback=self.undo(action, situation),
        )
