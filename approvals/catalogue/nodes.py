"""What draining, cordoning and resetting a server have in common."""

from __future__ import annotations

from approvals.catalogue.base import Condition, Expectation, Write
from approvals.catalogue.cooling import unmeasured
from approvals.catalogue.equipment import GpuState
from approvals.catalogue.situation import Situation

# Alarmed quantities of a GPU, server or job for which taking the server out is the answer.
NODE_TROUBLE = frozenset({"xid", "throttle_reasons", "temp_c", "throughput_pct"})
# XIDs after which the driver or the host has to be restarted (EOP-GPU-02 step 3): NVLink error, fell
# off the bus, double-bit and uncontained ECC errors, GSP timeout.
NEEDS_RESET = frozenset({48.0, 74.0, 79.0, 95.0, 119.0})
# Power at which a drained server idles, share of its power at work (assumed), and the utilisation
# below which a GPU counts as idle, % (EOP-GPU-01 step 5, EOP-GPU-02 step 4).
IDLE_PCT = 5.0
# A job leaves a server at its next checkpoint: times the effect window (EOP-GPU-02 step 4: within 5
# minutes).
SLOWER = 2.5


def gpus_of(server: str, situation: Situation) -> tuple[GpuState, ...]:
    """The GPUs of a server, by tag."""
    return tuple(g for g in situation.gpus if g.server == server)


def server_of(asset: str, situation: Situation) -> str:
    """The server that an asset is, or is part of; "" for anything else."""
    if situation.server(asset) is not None:
        return asset
    gpu = situation.gpu(asset)
    return gpu.server if gpu else ""


def subject_server(situation: Situation) -> str:
    """The server that an alarm is about, where its trouble is one of a node.

    A job is as slow as its slowest GPU: then the server with the worst of them.
    """
    if situation.quantity not in NODE_TROUBLE:
        return ""
    if situation.subject_kind != "job":
        return server_of(situation.subject, situation)
    job = next((j for j in situation.jobs if j.tag == situation.subject), None)
    mine = [g for g in situation.gpus if job and g.server in job.servers]
    bad = [g for g in mine if g.xid or braked(g, situation)]
    return min(bad, key=lambda g: g.tag).server if bad else ""


def braked(gpu: GpuState, situation: Situation) -> bool:
    """Whether hardware cuts its clocks (NVML reasons: thermal slowdown 64, power brake 128)."""
    return situation.value(f"{gpu.tag}.throttle_reasons") >= 64


def trouble(server: str, situation: Situation) -> tuple[Condition, ...]:
    """What is wrong with the server now, as the grounds for acting: the first GPU that says so."""
    for gpu in gpus_of(server, situation):
        if gpu.xid:
            return (Condition(f"{gpu.tag}.xid", ">=", 1, f"{gpu.name} still reports an XID"),)
    for gpu in gpus_of(server, situation):
        if braked(gpu, situation):
            tag = f"{gpu.tag}.throttle_reasons"
            return (Condition(tag, ">=", 64, f"{gpu.name} is still slowed by hardware"),)
    return ()


def idles(
    server: str,
    situation: Situation,
    *,
    confirm: tuple[Condition, ...],
    rollback: tuple[Write, ...],
) -> Expectation:
    """The server's busiest GPU goes below 5 % of utilisation: the jobs have left it."""
    window_s = SLOWER * situation.window_s
    busiest = max(gpus_of(server, situation), key=lambda g: (g.util_pct, g.tag), default=None)
    if busiest is None:
        said = f"{situation.name(server)} has no GPU to see by whether its jobs left"
        return unmeasured(said, window_s=window_s, confirm=confirm, rollback=rollback)
    return Expectation(
        tag=f"{busiest.tag}.util_pct",
        direction="below",
        threshold=IDLE_PCT,
        unit="%",
        window_s=window_s,
        sentence=f"{busiest.name} falls below {IDLE_PCT:g} % within {window_s:.0f} s "
        f"(now {busiest.util_pct:.0f} %): the jobs have left {situation.name(server)}",
        relief_w=sum(g.power_w for g in gpus_of(server, situation)),
        confirm=confirm,
        rollback=rollback,
    )
