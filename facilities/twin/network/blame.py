"""Who slows a job: remove one cause in the model, and what the job gains is its share.

The method of ByteDance's straggler analysis (style_twin.md B4): slowdown against the ideal step,
worker by worker. All causes are tried as members of one ensemble.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..drive import Drive
from ..site import Floats
from .model import Network
from .state import NetworkState

MOST_CAUSES = 64
SLOW = 0.995
"""A GPU below this relative clock counts as slow (assumed: finer than clock steps matter)."""
MATTERS = 1e-3


class Cause(NamedTuple):
    """One thing that is not as it should be; ``share`` is of what the job lost, 0..1."""

    kind: Literal["link", "gpu", "server", "traffic"]
    asset: str
    what: str
    share: float


@dataclass(frozen=True, slots=True)
class JobBlame:
    """What a job lost and to whom. The shares need not add up: causes that hide one another leave
    a rest, causes that each suffice have a share of 0 and leave it all in ``together``.
    """

    job: str
    step_s: float
    ideal_step_s: float
    throughput: float
    causes: tuple[Cause, ...]
    together: float

    @property
    def slowdown(self) -> float:
        """Present step time over the ideal; infinite while the job stands still."""
        return 1.0 / self.throughput if self.throughput > 0 else float("inf")


class _Case:
    """Inputs of the model for one cause removed each; member 0 is the present, the last ideal."""

    def __init__(
        self, network: Network, state: NetworkState, drive: Drive, gpu_speed: Floats
    ) -> None:
        site = network.site
        self.found: list[tuple[Cause, Callable[[slice], None]]] = []
        share = drive["link", "capacity"] * (drive["link", "enabled"] > 0.5) * state.link_health
        for row in np.nonzero(share[0] < 1 - MATTERS)[0]:
            left = share[0, row]
            what = f"carries {100 * left:.0f} % of its rating" if left > 0 else "is out of use"
            self._add("link", site.tags("link")[row], what, "_mend_link", int(row))
        for row in np.nonzero(np.abs(state.background_gbps[0]) > 1.0)[0]:
            what = f"carries {state.background_gbps[0, row]:.0f} Gb/s of other traffic"
            if state.background_gbps[0, row] > 0:
                self._add("traffic", site.tags("link")[row], what, "_clear_link", int(row))
        for row in np.nonzero(drive["server", "in_service"][0] < 0.5)[0]:
            self._add("server", site.tags("server")[row], "is drained", "_serve", int(row))
        gpus = network.jobs.gpus
        slow = gpus[gpu_speed[0, gpus] < SLOW]
        for row in slow[np.argsort(gpu_speed[0, slow])][:MOST_CAUSES]:
            speed = gpu_speed[0, row]
            what = f"runs at {100 * speed:.0f} % of its clock" if speed > 0 else "does not work"
            self._add("gpu", site.tags("gpu")[row], what, "_quicken", int(row))
        self.found = self.found[:MOST_CAUSES]
        members = len(self.found) + 2
        self.drive = drive.repeated(members)
        self.health = np.repeat(state.link_health[:1], members, axis=0)
        self.background = np.repeat(state.background_gbps[:1], members, axis=0)
        self.speed = np.repeat(gpu_speed[:1], members, axis=0)
        for number, (_, remove) in enumerate(self.found, start=1):
            remove(slice(number, number + 1))
        last = slice(members - 1, members)
        for _, remove in self.found:
            remove(last)
        self.speed[last] = 1.0

    def _add(
        self,
        kind: Literal["link", "gpu", "server", "traffic"],
        tag: str,
        what: str,
        name: str,
        row: int,
    ) -> None:
        mend = getattr(self, name)
        self.found.append((Cause(kind, tag, what, 0.0), lambda members: mend(members, row)))

    def _mend_link(self, members: slice, row: int) -> None:
        self.drive["link", "capacity"][members, row] = 1.0
        self.drive["link", "enabled"][members, row] = 1.0
        self.health[members, row] = 1.0

    def _clear_link(self, members: slice, row: int) -> None:
        self.background[members, row] = 0.0

    def _serve(self, members: slice, row: int) -> None:
        self.drive["server", "in_service"][members, row] = 1.0

    def _quicken(self, members: slice, row: int) -> None:
        self.speed[members, row] = 1.0


def blame(network: Network, state: NetworkState, drive: Drive, gpu_speed: Floats) -> list[JobBlame]:
    """Every job of the first member: how much slower than ideal, and the share of each cause."""
    case = _Case(network, state, drive, gpu_speed)
    solved = network.settled(
        case.drive,
        gpu_speed=case.speed,
        link_health=case.health,
        background_gbps=case.background,
        crossings=np.repeat(state.crossings[:1], case.drive.members, axis=0),
    )
    found = []
    for row, tag in enumerate(network.site.tags("job")):
        pace = solved.throughput[:, row]
        lost = pace[-1] - pace[0]
        causes = []
        if lost > MATTERS:
            gained = np.clip((pace[1:-1] - pace[0]) / lost, 0.0, 1.0)
            for (cause, _), share in zip(case.found, gained, strict=True):
                if share > MATTERS:
                    causes.append(cause._replace(share=float(share)))
        causes.sort(key=lambda cause: -cause.share)
        rest = max(0.0, 1.0 - sum(cause.share for cause in causes)) if lost > MATTERS else 0.0
        found.append(
            JobBlame(
                tag,
                float(solved.step_time_s[0, row]),
                float(solved.step_time_s[-1, row]),
                float(pace[0] / max(pace[-1], 1e-9)),
                tuple(causes),
                rest,
            )
        )
    return found
