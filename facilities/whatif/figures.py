"""Energy and work of a trajectory: kilowatt-hours, and what jobs lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from facilities.twin.drive import Key
from facilities.twin.site import Floats, Site
from facilities.twin.trajectory import Trajectory

ENERGY: Final[dict[str, Key]] = {
    "facility": ("hall", "facility_power_w"),
    "it": ("hall", "it_power_w"),
}
JOBS: Final[tuple[Key, ...]] = (
    ("job", "step_time_s"),
    ("job", "throughput_pct"),
    ("job", "running"),
)
GPU_SPEED: Final[Key] = ("gpu", "speed")


@dataclass
class Figures:
    """Energy in kWh (variants, draws) by name; of jobs (jobs, variants, draws).

    ``step_s`` is the mean step time while the job ran, NaN where it never did; ``lost_gpu_h`` the
    GPU-hours of full throughput that were not delivered; ``throttled_gpu_h`` those that clocks
    below full speed cost, over all GPUs of the site.
    """

    energy_kwh: dict[str, Floats]
    step_s: Floats
    throughput_pct: Floats
    lost_gpu_h: Floats
    throttled_gpu_h: Floats

    @property
    def variants(self) -> int:
        """Courses of events."""
        return int(self.throttled_gpu_h.shape[0])

    @property
    def draws(self) -> int:
        """Draws of each."""
        return int(self.throttled_gpu_h.shape[1])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Figures:
        """The draws of several, one after another."""
        return Figures(
            {
                name: np.concatenate([part.energy_kwh[name] for part in parts], axis=-1)
                for name in parts[0].energy_kwh
            },
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=-1)
                for name in ("step_s", "throughput_pct", "lost_gpu_h", "throttled_gpu_h")
            ),
        )


def figure_keys(available: Collection[Key]) -> set[Key]:
    """What has to be recorded for the figures, of what the twin computes."""
    return {key for key in (*ENERGY.values(), *JOBS, GPU_SPEED) if key in available}


def job_gpus(site: Site) -> Floats:
    """GPUs of every job by its list of servers, shape (jobs,)."""
    on_server = np.bincount(
        np.maximum(site.within("gpu", "server"), 0), minlength=max(1, site.count("server"))
    )
    counts = []
    for job in site.of_kind("job"):
        servers = [
            site.place[tag].row for tag in job.attributes.get("servers", ()) if tag in site.place
        ]
        counts.append(float(on_server[servers].sum()) if servers else 0.0)
    return np.array(counts)


def figures_of(trajectory: Trajectory, draws: int) -> Figures:
    """Integrate a trajectory. Trapezium rule over the kept moments."""
    variants, hours = trajectory.variants, trajectory.times_s / 3600.0

    def integral(values: Any) -> Floats:
        return np.asarray(np.trapezoid(values, hours, axis=0), dtype=np.float64)

    energy = {}
    for name, key in ENERGY.items():
        if key in trajectory.values:
            watts = np.nansum(trajectory.values[key], axis=2, dtype=np.float64)
            energy[name] = integral(watts).reshape(variants, draws) / 1000.0
    throttled = np.zeros((variants, draws))
    if GPU_SPEED in trajectory.values:
        lost = np.maximum(0.0, 1.0 - trajectory.values[GPU_SPEED]).sum(axis=2, dtype=np.float64)
        throttled = integral(lost).reshape(variants, draws)
    jobs = trajectory.site.count("job")
    step = np.full((jobs, variants, draws), np.nan)
    through, lost_h = step.copy(), np.zeros((jobs, variants, draws))
    if jobs and all(key in trajectory.values for key in JOBS[:2]):
        through = _mean(trajectory.values["job", "throughput_pct"], variants, draws)
        step = _mean(trajectory.values["job", "step_time_s"], variants, draws)
        missing = 1.0 - trajectory.values["job", "throughput_pct"].astype(np.float64) / 100.0
        gpus = job_gpus(trajectory.site)[:, None]
        lost_h = integral(np.nan_to_num(missing)).T.reshape(jobs, -1) * gpus
        lost_h = lost_h.reshape(jobs, variants, draws)
    return Figures(energy, step, through, lost_h, throttled)


def _mean(values: NDArray[np.floating[Any]], variants: int, draws: int) -> Floats:
    """Mean over time of (times, members, jobs), as (jobs, variants, draws); NaN where none is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0, dtype=np.float64)
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean.T.reshape(-1, variants, draws)
