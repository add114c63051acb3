"""Stop a CRAC, pump, chiller, CDU or cooling tower that the others can do without."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import RunCommand
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.machines import FULL, KINDS, left_without
from approvals.catalogue.situation import Situation


class StopUnit(RunCommand):
    name = "stop_unit"
    title = "Stop unit"
    risk = "medium"
    target_kind = "crac"
    target_kinds = ("crac", *KINDS)
    points = tuple((kind, "run_cmd") for kind in target_kinds)
    order, verb = 0.0, "Stop"
    cool_down_s = 600.0  # MOP-CHW-03 step 4: no chiller is restarted within 10 minutes of a stop
    summary = "Stop a running unit. Refused unless what is left carries the whole load."
    step_words = (("stop", "isolate"), ("unit", "crac", "pump", "chiller", "cdu", "tower",
                                        "outgoing"))  # fmt: skip
    query = "stop the outgoing unit after the incoming one has taken over"

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        kind = situation.kind_of(tag)
        left = (
            self._left_in_hall(tag, situation)
            if kind == "crac"
            else left_without(kind, tag, situation)
        )
        return [self.change(action, "it is commanded to run now"), *left]

    def _left_in_hall(self, tag: str, situation: Situation) -> list[Condition]:
        """The running CRACs left carry the hall at their present fan speeds."""
        if (mine := situation.unit(tag)) is not None and mine.fault:
            return []  # it cools nothing any more: this makes it safe
        left = [u for u in situation.running_units if u.tag != tag]
        limit_w = round(FULL * sum(u.capacity_w for u in left))
        why = f"the units left remove {limit_w / 1000:.0f} kW at their present fan speeds"
        return [
            Condition(f"{situation.hall_tag}.it_power_w", "<=", limit_w, why),
            *(
                condition
                for u in left
                for condition in (
                    Condition(f"{u.tag}.running", ">=", 1, f"{u.name} has to carry its share"),
                    Condition(
                        f"{u.tag}.fan_speed_sp_pct", ">=", u.fan_sp_pct,
                        f"{u.name} was counted at this fan speed",
                    ),
                )
            ),
        ]  # fmt: skip

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return inlet_expectation(
            situation,
            relief_w=0.0,
            confirm=(self.reported(action),),
            rollback=self.undo(action, situation),
        )
