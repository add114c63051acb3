"""How long a step takes, from what the fabric gives and how fast the slowest GPU is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..site import Flags, Floats
from .constants import NetworkConstants
from .jobs import Jobs
from .solution import Solution, inside_time_s

SLOWEST = 1e-9


class Pace(NamedTuple):
    """How fast groups run, each of shape (members, groups)."""

    step_s: Floats
    exposed_s: Floats
    running: Flags


class Demand(NamedTuple):
    """What is asked of the jobs, until the drives of demand change."""

    key: tuple[bytes, ...]
    gpus: Floats  # (members, gpus) 0..1
    jobs: Floats  # (members, groups) 1 runs, 0 paused
    steps: Floats  # (members, groups) how often steps come, against a fully busy job


class Commands(NamedTuple):
    """What of the drive a step needs, until it changes; equal keys, equal commands."""

    key: tuple[bytes, ...]
    share: Floats  # (members, links) of rated capacity, 0 where disabled
    in_service: Floats  # (members, servers)
    demand: Demand


class Healthy(NamedTuple):
    """The site as new: step times (members, groups), and 1 / busy share (members, gpus of jobs)."""

    step_s: Floats
    per_busy: Floats


class Terms(NamedTuple):
    """The parts of a step that only the fabric decides, (members, groups)."""

    most_hidden_s: Floats
    communication_s: Floats
    data_s: Floats | None  # None where no job reads data
    stretch: Floats  # 1 + time in checkpoints over time in steps
    possible: Flags

    @classmethod
    def of(cls, solution: Solution, jobs: Jobs, constants: NetworkConstants) -> Terms:
        """Add what happens over NVLink to what happens between servers."""
        inside, around = inside_time_s(jobs, constants)
        possible = (
            np.isfinite(solution.comm_s)
            & np.isfinite(solution.data_s)
            & np.isfinite(solution.pause_share)
            & (solution.servers > 0)
        )
        between = np.where(possible, solution.comm_s, 0.0) + around
        data = np.where(possible, solution.data_s, 0.0)
        return cls(
            jobs.column("overlap") * between,
            between + inside,
            data if data.any() else None,
            1.0 + np.where(possible, solution.pause_share, 0.0),
            possible,
        )


def pace(terms: Terms, compute_s: Floats, slowest: Floats, constants: NetworkConstants) -> Pace:
    """Step times when the slowest GPU of each group runs at ``slowest`` (members, groups).

    A job that cannot go on has the step time ``stalled_s`` and nothing exposed; one whose step
    would take longer is ended by the collectives' watchdog and cannot go on either.
    """
    compute = compute_s / np.maximum(slowest, SLOWEST)
    hidden = np.minimum(terms.most_hidden_s, np.asarray(constants.backward_share) * compute)
    exposed = terms.communication_s - hidden
    step = compute + exposed
    if terms.data_s is not None:
        step = np.maximum(step, terms.data_s)
    step = step * terms.stretch
    stalled = np.asarray(constants.stalled_s)
    alive = (slowest > 0) & terms.possible & (step < stalled)
    step = np.where(alive, step, stalled)
    return Pace(step, exposed * alive, alive)
