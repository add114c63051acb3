"""What the GPUs are asked to do: training jobs that step, checkpoint and restart, and inference.

A step of a synchronous job takes as long as its slowest GPU computes, plus the communication that
computing cannot hide. Gradients go round rings whose neighbours are badly ordered, so every ring
crosses a leaf's uplinks twice in each direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class JobParameters:
    """Constants of the jobs."""

    nic_gb_s: float = 46.0  # assumed, 92 % of 400 Gb/s
    nvlink_gb_s: float = 380.0  # assumed usable, H100
    latency_s: float = 14e-6  # assumed per hop of a ring, with the software
    crossings: float = 2.0  # assumed: times that a ring crosses a leaf's uplinks
    step_noise: float = 0.012  # assumed: data loading and stragglers of a step, averaged over 1 s
    diurnal_training: float = 0.012  # assumed amplitude (Llama 3 reports 1-2 % over a day)
    diurnal_inference: float = 0.10  # assumed amplitude of user requests
    period_s: float = 28_800.0  # assumed: a training job is relaunched once in this time
    relaunch_s: float = 150.0  # assumed: scheduler, containers, loading a checkpoint
    regroup_s: float = 120.0  # assumed: restart without a lost server
    checkpoint_util: float = 0.06  # assumed: GPUs wait while the state is written
    stall_s: float = 600.0  # step time that is reported for a job that gets nowhere


@dataclass
class Job:
    """One job as its servers see it."""

    tag: str
    training: bool
    servers: NDArray[np.int64]
    leaves: NDArray[np.int64]  # leaf of each server
    compute_s: float
    allreduce_gb: float
    tensor_gb: float
    overlap: float
    checkpoint_gb: float
    checkpoint_every_s: float
    utilisation: float
    data_gb_s: float
    phase_s: float  # checkpoints are not written on the hour
    spread: NDArray[np.int64]  # the leaves that it uses, each once
    left_out: Flags  # cordoned at its last launch: it runs without these servers
    healthy_s: float = 1.0
    lost_s: float = 0.0
    lost: int = 0


class Jobs:
    """All jobs; results are arrays in file order of job, server and leaf assets."""

    def __init__(
        self, facility: FacilitySpec, *, parameters: JobParameters, seed: int, write_gb_s: float
    ) -> None:
        self.p = parameters
        self._seed = seed
        self._rng = np.random.default_rng((seed, 77))
        self._write_gb_s = write_gb_s
        servers = facility.of_kind("server")
        leaves = [leaf.tag for leaf in facility.of_kind("leaf")]
        leaf_of = np.array([leaves.index(str(s.attributes["leaf"])) for s in servers])
        self.jobs: list[Job] = []
        for asset in facility.of_kind("job"):
            a = asset.attributes
            places = np.array([facility.place("server", tag) for tag in a["servers"]])
            self.jobs.append(
                Job(
                    asset.tag,
                    a["kind"] == "training",
                    places,
                    leaf_of[places],
                    float(a["compute_s"]),
                    float(a["allreduce_gb"]),
                    float(a["tensor_gb"]),
                    float(a["overlap"]),
                    float(a["checkpoint_gb"]),
                    float(a["checkpoint_every_s"]),
                    float(a["utilisation"]),
                    float(a.get("data_gbps", 0.0)) / 8.0,
                    700.0 * (len(self.jobs) + 1),
                    np.unique(leaf_of[places]),
                    np.zeros(len(places), dtype=bool),
                )
            )
        count = len(self.jobs)
        self.step_time_s = np.zeros(count)
        self.throughput_pct = np.zeros(count)
        self.exposed_pct = np.zeros(count)
        self.running = np.ones(count)
        self.server_util: Floats = np.zeros(len(servers))
        self.leaf_gb_s: Floats = np.zeros(len(leaves))  # each way, over all uplinks of the leaf
        healthy = np.full(len(leaves), 2.0)
        for job in self.jobs:
            job.healthy_s = sum(self._times(job, 1.0, 1.0, healthy, np.ones(len(leaves))))

    def step(
        self,
        dt_s: float,
        *,
        seconds: float,
        server_speed: Floats,
        server_alive: Flags,
        in_service: Flags,
        cordoned: Flags,
        nvlink: Floats,
        uplinks: Floats,
        weakest: Floats,
        surge: float,
    ) -> None:
        """Advance to the time ``seconds`` since the epoch.

        ``uplinks`` counts the live uplinks of each leaf, ``weakest`` is the least capacity left
        among them, 0..1. ``server_speed`` is the slowest GPU's clock over the highest one.
        A server that is lost or not ``in_service`` makes a training job regroup without it;
        inference gives its requests to the others. A ``cordoned`` one keeps what runs on it and is
        left out at the job's next launch.
        """
        p = self.p
        self.server_util.fill(0.0)
        self.leaf_gb_s.fill(0.0)
        hour = (seconds % 86_400.0) / 3600.0
        day = math.cos(2 * math.pi * (hour - 14.5) / 24.0)
        for place, job in enumerate(self.jobs):
            alive = server_alive[job.servers] & in_service[job.servers]
            lost = int(len(alive) - alive.sum())
            job.lost_s = job.lost_s + dt_s if lost == job.lost and lost else 0.0
            job.lost = lost
            regrouping = job.training and lost > 0 and job.lost_s < p.regroup_s
            launching = regrouping or self._relaunching(job, place, seconds)
            if launching:
                job.left_out = cordoned[job.servers].copy()
            alive &= ~job.left_out
            speeds = server_speed[job.servers][alive]
            if not len(speeds) or launching:
                self._idle(place)
                continue
            slowest = float(speeds.min()) if job.training else float(speeds.mean())
            fabric = float(nvlink[job.servers][alive].min())
            compute_s, exposed_s = self._times(job, slowest, fabric, uplinks, weakest)
            noise = 1.0 + p.step_noise * float(self._rng.standard_normal())
            step_s = (compute_s + exposed_s) * noise
            if step_s >= p.stall_s:
                self._idle(place, stalled=True)
                continue
            self.running[place] = 1.0
            self.step_time_s[place] = step_s
            self.throughput_pct[place] = 100.0 * job.healthy_s / step_s
            self.exposed_pct[place] = 100.0 * exposed_s / step_s
            swing = p.diurnal_training if job.training else p.diurnal_inference
            busy = job.utilisation * (1.0 + swing * day)
            busy += (1.0 - busy) * surge
            # A GPU that waits for the network is not busy: the time beyond a healthy step is idle.
            busy *= min(1.0, job.healthy_s * (1.0 / max(slowest, 0.05)) / step_s)
            if not job.training:  # the requests of servers that are gone go to the others
                busy *= len(alive) / len(speeds)
            if job.training and self._checkpointing(job, seconds, weakest):
                busy = p.checkpoint_util
                self._send(job, self._write_gb_s / len(job.spread) / 2.0)
            self.server_util[job.servers[alive]] = min(busy, 1.0)
            self._traffic(job, step_s, speeds)

    def _idle(self, place: int, *, stalled: bool = False) -> None:
        self.running[place] = float(stalled)
        self.step_time_s[place] = self.p.stall_s if stalled else 0.0
        self.throughput_pct[place] = 0.0
        self.exposed_pct[place] = 100.0 if stalled else 0.0

    def _times(
        self, job: Job, speed: float, fabric: float, uplinks: Floats, weakest: Floats
    ) -> tuple[float, float]:
        """Compute time and exposed communication of one step, s."""
        p = self.p
        n = len(job.servers)
        compute_s = job.compute_s / max(speed, 0.02)
        tensor_s = job.tensor_gb / (p.nvlink_gb_s * max(fabric, 0.01))
        band = p.nic_gb_s
        spread = job.spread
        if len(spread) > 1:
            live, worst = uplinks[spread], weakest[spread]
            if np.any(live < 0.5):
                return compute_s, p.stall_s
            # ECMP pins flows: each live uplink carries its share of the crossings.
            band = min(band, float(np.min(p.nic_gb_s * worst * live / p.crossings)))
        ring_s = 2 * (n - 1) * p.latency_s + 2 * (n - 1) / n * job.allreduce_gb / band
        comm_s = tensor_s + ring_s
        return compute_s, max(comm_s - job.overlap * min(comm_s, compute_s), 0.0)

    def _traffic(self, job: Job, step_s: float, speeds: Floats) -> None:
        n = len(job.servers)
        gb_s = job.data_gb_s * len(speeds) / len(job.spread)
        if len(job.spread) > 1:
            gb_s += self.p.crossings * 2 * (n - 1) / n * job.allreduce_gb / step_s
        self._send(job, gb_s)

    def _send(self, job: Job, gb_s: float) -> None:
        self.leaf_gb_s[job.spread] += gb_s

    def _relaunching(self, job: Job, place: int, seconds: float) -> bool:
        if not job.training:
            return False
        period = math.floor(seconds / self.p.period_s)
        begins = _launch(self._seed, period, place) * self.p.period_s
        return begins <= seconds - period * self.p.period_s < begins + self.p.relaunch_s

    def _checkpointing(self, job: Job, seconds: float, weakest: Floats) -> bool:
        if job.checkpoint_gb <= 0 or job.checkpoint_every_s <= 0:
            return False
        share = max(float(weakest[job.leaves].min()), 0.05)
        phase_s = (seconds + job.phase_s) % job.checkpoint_every_s
        return phase_s < job.checkpoint_gb / (self._write_gb_s * share)


@lru_cache(maxsize=1024)
def _launch(seed: int, period: int, place: int) -> float:
    """When in a period a job is relaunched, as a share of it."""
    return float(np.random.default_rng((seed, period, place, 5)).uniform(0.3, 0.9))
