"""Set the power limit of one GPU, or of every GPU of a server."""

from __future__ import annotations

from typing import Any

from approvals.catalogue.base import Action, Condition, Expectation, Target, Write
from approvals.catalogue.equipment import GpuState
from approvals.catalogue.restore import restoring
from approvals.catalogue.schemas import number_schema
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# Offered against load that is too high, share of the nameplate limit (assumed).
SHARES = (0.8, 0.65)
# Below this a GPU no longer slows its clocks for heat, °C ("GPU hot" clears at 83).
COOL_C = 83.0
HOT_C = 85.0
# Aimed at this much below it, K; air at the server's inlet where nothing measures it, °C (assumed).
MARGIN_K = 3.0
INLET_C = 24.0
AGAINST = frozenset({"temp_c", "power_w", "throttle_reasons"})


class SetGpuPowerCap(SetPoint):
    name = "set_gpu_power_cap"
    title = "Set GPU power cap"
    risk = "medium"
    target_kind = "gpu"
    target_kinds = ("gpu", "server")
    points = (("gpu", "power_limit_w"),)
    quantity, param, label = "power_limit_w", "power_limit_w", "Power limit of each GPU"
    cool_down_s = 60.0  # assumed: clocks follow at once, the heat sink within a minute
    summary = "Set the power limit of a GPU, or of all GPUs of a server. A synchronous job waits "\
        "for its slowest GPU."  # fmt: skip
    step_words = (("cap", "limit"), ("gpu", "power"))
    step_not = ("rack", "return")
    query = "cap GPU power limit, thermal throttling, hot GPU"

    def gpus(self, target: str, situation: Situation) -> tuple[GpuState, ...]:
        """The GPUs that are written."""
        return tuple(g for g in situation.gpus if target in (g.tag, g.server))

    def targets(self, situation: Situation) -> list[Target]:
        mine = [g for g in situation.gpus if self.tag(g.tag) in situation.limits]
        tags = sorted({g.tag for g in mine} | {g.server for g in mine if g.server})
        return [Target(tag, situation.name(tag)) for tag in tags]

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        tags = [g.tag for g in self.gpus(target, situation)] or [target]
        return number_schema(
            name=self.param, tag=self.tag(tags[0]), situation=situation, description=self.label
        )

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        if situation.kind_of(action.target) != "server":
            return super().writes(action, situation)
        return [
            Write(self.tag(g.tag), self.value(action))
            for g in self.gpus(action.target, situation)
        ]  # fmt: skip

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.subject_kind not in ("gpu", "server") or situation.quantity not in AGAINST:
            return []
        return [
            Action(self.name, gpu.tag, {self.param: cap})
            for gpu in self.gpus(situation.subject, situation)
            if (limits := situation.limits.get(self.tag(gpu.tag)))
            and situation.has(self.tag(gpu.tag))
            for cap in self._caps(gpu, situation)
            if limits.low <= cap <= min(limits.high, gpu.limit_w - 20)
        ]

    def _caps(self, gpu: GpuState, situation: Situation) -> list[float]:
        """A hot one: the power at which it would be cool, as its rise above the inlet air goes with
        its power. A hot GPU throttles itself, so that a share of its nameplate may be no cap."""
        if situation.quantity != "temp_c":
            return [10 * round(gpu.max_w * share / 10) for share in SHARES]
        inlet_c = situation.value(f"{gpu.server}.inlet_c", INLET_C)
        if gpu.temp_c < HOT_C or gpu.temp_c <= inlet_c:
            return []
        share = (COOL_C - MARGIN_K - inlet_c) / (gpu.temp_c - inlet_c)
        return [10.0 * (gpu.power_w * share // 10)]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            Condition(self.tag(g.tag), "!=", self.value(action), "the limit is not there already")
            for g in self.gpus(action.target, situation)[:1]
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """A hot GPU cools down; any other one keeps inside its new limit."""
        mine = self.gpus(action.target, situation)
        hot = max(mine, key=lambda g: (g.temp_c, g.tag), default=None)
        tag = hot.tag if hot else action.target
        value, window_s = self.value(action), situation.window_s
        cools = hot is not None and hot.temp_c >= HOT_C and value < hot.limit_w
        goal = COOL_C if cools else round(1.05 * value)
        what = f"{tag} gets below {goal:g} °C" if cools else f"{tag} stays below {goal:g} W"
        return Expectation(
            tag=f"{tag}.temp_c" if cools else f"{tag}.power_w",
            direction="below",
            threshold=goal,
            unit="Cel" if cools else "W",
            window_s=window_s,
            sentence=f"{what} within {window_s:.0f} s"
            + (f" (now {hot.temp_c:.0f} °C at {hot.power_w:.0f} W)" if hot else ""),
            relief_w=sum(max(0.0, g.power_w - value) for g in mine),
            rollback=restoring([self.tag(g.tag) for g in mine], situation),
        )

    def merit(self, action: Action, situation: Situation) -> float | None:
        """A share of the power above what the GPU would take anyway; draining may still be better
        (EOP-GPU-01: capping is rarely the better choice)."""
        return 0.6 if situation.quantity in AGAINST else None

    def sentence(self, action: Action, name: str) -> str:
        return f"Limit power of {name} to {self.value(action):g} W"
