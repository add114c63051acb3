"""Move the work off a rack: its servers are drained one after the other, their jobs go on
elsewhere.
"""

from __future__ import annotations

from typing import Any

from approvals.catalogue.base import Action, ActionKind, Condition, Expectation, Target, Write
from approvals.catalogue.equipment import ServerState
from approvals.catalogue.heat import rack_to_relieve
from approvals.catalogue.nodes import SLOWER
from approvals.catalogue.restore import restoring
from approvals.catalogue.schemas import object_schema
from approvals.catalogue.situation import Situation

# Share of its power that a server sheds when its jobs leave it (assumed; an idle H100 node draws
# about a fifth).
FREED = 0.6


class MigrateRackLoad(ActionKind):
    name = "migrate_rack_load"
    title = "Migrate rack load"
    risk = "high"
    target_kind = "rack"
    points = (("server", "in_service"),)
    cool_down_s = 600.0  # assumed: jobs regroup, checkpoint and warm up first
    summary = "Drain the servers of a rack in order, so that their jobs go on in other racks."
    step_words = (("move", "migrate", "drain"), ("work", "load", "jobs", "servers"))
    query = "move jobs away from the rack, drain its servers"

    def targets(self, situation: Situation) -> list[Target]:
        racks = {s.rack for s in situation.servers if f"{s.tag}.in_service" in situation.limits}
        return [Target(tag, situation.name(tag)) for tag in sorted(racks) if tag]

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        mine = self._movable(target, situation)
        if not mine:
            raise KeyError(f"in_service of a server in {target}")
        return object_schema(
            {
                "servers": {
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"type": "string", "enum": [s.tag for s in mine]},
                    "default": [s.tag for s in mine if s.in_service],
                    "description": "Servers to drain, in this order",
                    "x-names": {s.tag: s.name for s in mine},
                }
            }
        )

    def _movable(self, rack: str, situation: Situation) -> list[ServerState]:
        return [
            s for s in situation.servers_in(rack) if f"{s.tag}.in_service" in situation.limits
        ]  # fmt: skip

    def candidates(self, situation: Situation) -> list[Action]:
        """The servers of a rack that is too hot, whose jobs have somewhere else to go."""
        rack = rack_to_relieve(situation)
        if rack is None:
            return []
        mine = [s.tag for s in self._movable(rack.tag, situation) if s.in_service]
        stranded = {t for job in self._stranded(mine, situation) for t in job.servers}
        going = [tag for tag in mine if tag not in stranded and situation.has(f"{tag}.in_service")]
        return [Action(self.name, rack.tag, {"servers": going})] if going else []

    def _stranded(self, servers: list[str], situation: Situation) -> list[Any]:
        """The jobs that would have no server in service left."""
        left = {s.tag for s in situation.servers if s.in_service} - set(servers)
        return [job for job in situation.jobs_on(servers) if not left.intersection(job.servers)]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        servers = list(action.params["servers"])
        return [
            *(Condition(f"{tag}.in_service", ">=", 1, "it has work to move") for tag in servers),
            *(
                Condition(
                    f"{job.tag}.running", "<", 1,
                    f"{job.name} would have no server left: shed load or stop the job instead",
                )
                for job in self._stranded(servers, situation)
            ),
        ]  # fmt: skip

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        return [Write(f"{tag}.in_service", 0.0) for tag in action.params["servers"]]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        rack = situation.rack(action.target)
        servers = list(action.params["servers"])
        states = [s for s in situation.servers if s.tag in servers]
        freed_w = FREED * sum(s.power_w for s in states)
        before_w = rack.power_w if rack else situation.value(f"{action.target}.power_w")
        goal_w, window_s = round(before_w - freed_w / 2), SLOWER * situation.window_s
        return Expectation(
            tag=f"{action.target}.power_w",
            direction="below",
            threshold=goal_w,
            unit="W",
            window_s=window_s,
            sentence=f"{situation.name(action.target)} gets below {goal_w / 1000:.1f} kW within "
            f"{window_s:.0f} s (now {before_w / 1000:.1f} kW)",
            relief_w=freed_w,
            confirm=tuple(
                Condition(f"{tag}.in_service", "<", 1, "the scheduler has taken it out")
                for tag in servers
            ),
            rollback=restoring([f"{tag}.in_service" for tag in servers], situation),
        )

    def sentence(self, action: Action, name: str) -> str:
        servers = list(action.params["servers"])
        return f"Move the work of {name} elsewhere (drain {', '.join(servers)})"[:200]
