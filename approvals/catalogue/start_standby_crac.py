"""Start a standby CRAC when a running one is lost."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.command import RunCommand
from approvals.catalogue.cooling import chilled_water, inlet_expectation
from approvals.catalogue.equipment import CoolingUnit
from approvals.catalogue.situation import Situation

# A running unit whose supply air is so far above its setpoint no longer cools as it should: a little
# before the rule "CRAC supply off setpoint" raises, K.
OFF_K = 2.0
# A chilled water valve between these has room either way: then nothing keeps the unit from holding
# its supply air, and the probe is as likely wrong, % (assumed).
EASY_PCT = (40.0, 70.0)


def weak_units(situation: Situation) -> list[CoolingUnit]:
    """Running units that do not hold their supply air, with a valve that says why: hardly open or
    wide open.
    """
    low, high = EASY_PCT
    return [
        unit
        for unit in situation.running_units
        if situation.value(f"{unit.tag}.supply_c", -99.0) >= unit.supply_sp_c + OFF_K
        and not low <= situation.value(f"{unit.tag}.valve_pct") < high
    ]


def _weak(situation: Situation) -> list[CoolingUnit]:
    """The weak units where the others are too few; none where no unit holds its supply air, for
    then the water is at fault.
    """
    weak = weak_units(situation)
    held_w = sum(u.capacity_w for u in situation.running_units if u not in weak)
    return weak if 0 < held_w < situation.heat_w else []


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
        """The units in standby, for a unit that is lost, or one that runs and no longer cools while
        the others cannot carry the racks."""
        lost = sorted(situation.lost_units, key=lambda u: u.tag != situation.subject)
        weak = _weak(situation)
        if lost:
            down = lost[0]
            why = f"{down.name} is still lost; its capacity has to be replaced"
            grounds = (
                Condition(f"{down.tag}.fault", ">=", 1, why)
                if down.fault
                else Condition(f"{down.tag}.running", "<", 1, why),
            )
        elif weak:
            down = min(weak, key=lambda u: (u.tag != situation.subject, u.tag))
            why = f"{down.name} still does not hold its supply air (MOP-CRAC-04)"
            limit = down.supply_sp_c + OFF_K
            grounds = (Condition(f"{down.tag}.supply_c", ">=", limit, why),)
        else:
            return []
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
