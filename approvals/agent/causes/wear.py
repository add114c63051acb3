"""What the followed twin finds to be wearing out before any alarm."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.base import Suspicion, rule
from approvals.agent.facts import Facts

# What the twin's findings are called (`TwinFinding.What`) → cause.
CAUSES = {
    "filter": "filter_loaded",
    "fan": "fan_wears",
    "coil": "coil_fouled",
    "battery": "battery_worn",
    "paste": "gpu_cooling",
}


@rule
def findings(facts: Facts) -> Iterator[Suspicion]:
    """A finding becomes a cause of its own asset; a drifting sensor is the instrument's."""
    for found in facts.findings:
        asset, what = str(found["asset"]), str(found["what"])
        sensor = what == "sensor"
        yield (
            Suspicion(
                "instrument" if sensor else CAUSES.get(what, "wear"),
                asset,
                f"the sensor {found['point'] or asset} drifts"
                if sensor
                else f"{facts.name(asset)} wears out: {str(found['text']).rstrip('.')}",
                "instruments" if sensor else "wear",
                0.8,
                frozenset({f"{_kind(facts, asset)}.*"}),
                {f"open_work_order@{asset}": 1.0},
                of_instrument=sensor,
            )
            .speaks(
                True,
                f"the twin follows it with confidence {float(found['confidence']):.2f}",
                1 + 12 * float(found["confidence"]),
            )
            .refuted("the trend stops and the finding closes")
        )


def _kind(facts: Facts, tag: str) -> str:
    thing = facts.things.get(tag)
    return thing.kind if thing else ""
