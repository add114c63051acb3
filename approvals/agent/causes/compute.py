"""Causes in servers and GPUs: XID classes, heat of one GPU, the power brake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from approvals.agent.causes.base import Suspicion, rule
from approvals.agent.facts import Facts, Thing

# nvml.h, nvmlClocksThrottleReason…: hardware slowdown, hardware thermal, hardware power brake.
HW_SLOWDOWN, HW_THERMAL, HW_BRAKE = 0x8, 0x40, 0x80
# A GPU this much hotter than the median of its server is a matter of that GPU (assumed), K.
HOTTER_K = 8.0
HOT_C = 83.0


class XidClass(NamedTuple):
    """What an XID means and what it asks for; after NVIDIA's XID table and EOP-GPU-02 step 3."""

    cause: str
    text: str
    remedies: dict[str, float]


# Errors that a restart heals, of a GPU that goes on working until then: no new work costs nothing,
# draining costs the work of eight (EOP-GPU-02 step 3: reset at the next opportunity).
CORDON = {"cordon_node": 1.0, "drain_node": 0.6, "reset_node": 0.4, "open_work_order": 0.5}
DRAIN = {"drain_node": 1.0, "cordon_node": 0.55, "reset_node": 0.5, "open_work_order": 0.5}
XIDS: dict[int, XidClass] = {
    79: XidClass("gpu_lost", "has fallen off the bus", DRAIN),
    74: XidClass("nvlink_errors", "has NVLink errors", DRAIN),
    48: XidClass("memory_errors", "has uncorrectable memory errors", DRAIN),
    95: XidClass("memory_errors", "has uncontained memory errors", DRAIN),
    94: XidClass("application_error", "reports a contained error", {"open_work_order": 0.5}),
    31: XidClass("application_error", "reports an application's error", {"open_work_order": 0.4}),
}
OTHER_XID = XidClass("gpu_error", "reports an error", DRAIN)


@rule
def xid_errors(facts: Facts) -> Iterator[Suspicion]:
    """The driver reports an XID for a GPU."""
    for gpu in facts.of_kind("gpu"):
        xid = facts.value(gpu.tag, "xid")
        if not xid:
            continue
        found = XIDS.get(int(xid), OTHER_XID)
        works = found.cause == "memory_errors" and facts.at_least(gpu.tag, "util_pct", 20)
        remedies = CORDON if works else found.remedies
        yield (
            Suspicion(
                found.cause,
                gpu.tag,
                f"{gpu.name} {found.text} (XID {xid:.0f})",
                f"server {gpu.parent}",
                2.0,
                frozenset({"job.throughput_pct", "job.step_time_s", "gpu.throttle_reasons"}),
                _of_server(remedies, gpu),
            )
            .speaks(True, f"{gpu.tag}.xid = {xid:.0f}", 40)
            .speaks(facts.below(gpu.tag, "util_pct", 1), f"{gpu.tag} does no work", 2)
            .refuted(f"{gpu.tag}.xid is 0 after the server was reset")
        )


def _of_server(remedies: dict[str, float], gpu: Thing) -> dict[str, float]:
    aimed = {f"{kind}@{gpu.parent}": fit for kind, fit in remedies.items()}
    if "open_work_order" in remedies:
        aimed[f"open_work_order@{gpu.tag}"] = remedies["open_work_order"]
    return aimed


@rule
def hot_gpus(facts: Facts) -> Iterator[Suspicion]:
    """One GPU is much hotter than its neighbours in the server: its own cooling is at fault."""
    servers: dict[str, list[tuple[float, Thing]]] = {}
    for gpu in facts.of_kind("gpu"):
        temperature = facts.value(gpu.tag, "temp_c")
        if temperature is not None:
            servers.setdefault(gpu.parent, []).append((temperature, gpu))
    for server, found in sorted(servers.items()):
        values = sorted(t for t, _ in found)
        median = values[len(values) // 2]
        for temperature, gpu in found:
            if temperature < HOT_C - 3 or temperature < median + HOTTER_K:
                continue
            yield (
                Suspicion(
                    "gpu_cooling",
                    gpu.tag,
                    f"{gpu.name} is cooled badly: heat sink or thermal paste",
                    f"server {server}",
                    1.5,
                    frozenset({"job.throughput_pct", "gpu.throttle_reasons"}),
                    {
                        f"set_gpu_power_cap@{gpu.tag}": 0.95,
                        f"drain_node@{server}": 0.8,
                        f"open_work_order@{gpu.tag}": 0.75,
                        f"open_work_order@{server}": 0.7,
                        f"shed_rack_load@{gpu.rack}": 0.35,
                        f"cordon_node@{server}": 0.4,
                    },
                )
                .speaks(
                    True,
                    f"{gpu.tag} has {temperature:.0f} °C, the middle of its server {median:.0f} °C",
                    10,
                )
                .refuted(f"{gpu.tag}.temp_c falls within {HOTTER_K:g} K of its neighbours")
            )


@rule
def power_brakes(facts: Facts) -> Iterator[Suspicion]:
    """Every GPU of a server is slowed by the hardware's power brake: a power supply failed."""
    for server in facts.of_kind("server"):
        gpus = facts.gpus_of(server.tag)
        braked = [g for g in gpus if _bits(facts, g) & HW_BRAKE]
        if len(braked) < max(2, len(gpus) // 2):
            continue
        yield (
            Suspicion(
                "power_brake",
                server.tag,
                f"{server.name}'s power brake is on: a power supply has failed",
                f"server {server.tag}",
                2.0,
                frozenset({"gpu.throttle_reasons", "job.throughput_pct", "gpu.sm_clock_mhz"}),
                {
                    f"drain_node@{server.tag}": 1.0,
                    f"cordon_node@{server.tag}": 0.5,
                    f"open_work_order@{server.tag}": 0.75,
                },
            )
            .speaks(
                True, f"{len(braked)} of its {len(gpus)} GPUs report the hardware power brake", 40
            )
            .refuted(f"throttle reasons of {server.tag}'s GPUs clear")
        )


def _bits(facts: Facts, gpu: Thing) -> int:
    return int(facts.value(gpu.tag, "throttle_reasons") or 0)
