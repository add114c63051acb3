"""Start a standby pump, chiller, CDU or cooling tower."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import RunCommand
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.equipment import Machine
from approvals.catalogue.machines import GOALS, KINDS, SLOWER, served_by
from approvals.catalogue.situation import Situation


class StartStandbyUnit(RunCommand):
    name = "start_standby_unit"
    title = "Start standby unit"
    risk = "medium"
    target_kind = "pump"
    target_kinds = KINDS
    points = tuple((kind, "run_cmd") for kind in KINDS)
    order, verb = 1.0, "Start"
    cool_down_s = 600.0  # MOP-CHW-03 step 4: a chiller not within 10 minutes of a stop
    summary = "Command a stopped, fault-free pump, chiller, CDU or cooling tower to run."
    step_words = (("start",), ("pump", "chiller", "cdu", "tower", "the unit"))
    step_not = ("confirm", "no pump", "no chiller", "crac", "started", "damper")
    query = "start the standby pump or chiller after a trip of the one on duty"

    def candidates(self, situation: Situation) -> list[Action]:
        """A healthy machine that stands still while one of its peers is lost."""
        found = []
        for down in sorted(situation.machines, key=lambda m: m.tag != situation.subject):
            peers = situation.peers(down.tag, link="cooling") if down.lost else ()
            for machine in situation.machines:
                ready = not machine.running and not machine.fault and not machine.commanded
                if machine.tag in peers and ready:
                    found.append(Action(self.name, machine.tag, {}, (_still_lost(down),)))
        return list({action.target: action for action in reversed(found)}.values())

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.running", "<", 1, "the machine must stand still"),
            Condition(f"{tag}.fault", "<", 1, "a tripped machine must not be restarted remotely"),
            *served_by(situation.kind_of(tag), tag, situation),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        kind, rollback = situation.kind_of(action.target), self.undo(action, situation)
        goal = GOALS.get(kind)
        if goal is None or not situation.has(f"{action.target}.{goal.quantity}"):
            return inlet_expectation(
                situation, relief_w=0.0, confirm=(self.reported(action),), rollback=rollback
            )
        machine = situation.machine(action.target)
        window_s = situation.window_s if kind == "pump" else SLOWER * situation.window_s
        capacity_w = machine.capacity_w if machine else 0.0
        return Expectation(
            tag=f"{action.target}.{goal.quantity}",
            direction=goal.direction,
            threshold=goal.threshold,
            unit=goal.unit,
            window_s=window_s,
            sentence=f"{situation.name(action.target)} {goal.says} within {window_s:.0f} s",
            relief_w=min(capacity_w, situation.heat_w) or situation.heat_w,
            confirm=(self.reported(action),),
            rollback=rollback,
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """It replaces what was lost: nothing fits better."""
        return 1.0 if action.grounds else None


def _still_lost(down: Machine) -> Condition:
    why = f"{down.name} is still lost; it has to be replaced"
    if down.fault:
        return Condition(f"{down.tag}.fault", ">=", 1, why)
    return Condition(f"{down.tag}.running", "<", 1, why)
