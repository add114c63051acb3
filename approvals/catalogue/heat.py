"""When taking load off helps, and what limits it: shared by the kinds that move or cap work."""

from __future__ import annotations

from approvals.catalogue.situation import RackState, Situation

# Inlet from which shedding is considered at all, °C: between the recommended 27 and the allowable
# 32 of ASHRAE TC 9.9 class A1 (the middle is assumed).
SHED_FROM_C = 30.0
# What less load helps against: heat and electrical load. A GPU that fell off its bus, or a link
# with errors, is not helped by slowing its neighbours.
HELPS_AGAINST = frozenset(
    {"inlet_c", "outlet_c", "temp_c", "power_w", "current_a", "load_w", "load_pct", "runtime_s"}
)


def rack_to_relieve(situation: Situation) -> RackState | None:
    """The rack that the alarm is about, where taking load off it would help."""
    if situation.quantity not in HELPS_AGAINST:
        return None
    rack = situation.rack(situation.subject_rack)
    if rack is None or (situation.quantity == "inlet_c" and rack.inlet_c < SHED_FROM_C):
        return None
    return rack
