"""What the network tells, by (kind, quantity)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ..drive import Drive
from ..site import Floats
from ..state import Key
from .state import NetworkState


def _up(state: NetworkState) -> Floats:
    return (state.link_capacity_gbps > 0).astype(np.float64)


def _util_pct(state: NetworkState, drive: Drive) -> Floats:
    share = state.link_gbps / np.maximum(state.link_capacity_gbps, 1e-9)
    return 100.0 * np.minimum(share, 1.0) * _up(state)


VALUES: Final[dict[Key, Callable[[NetworkState, Drive], Floats]]] = {
    ("gpu", "util_pct"): lambda s, d: 100.0 * s.gpu_util,
    ("link", "util_pct"): _util_pct,
    ("link", "load_gbps"): lambda s, d: s.link_gbps,
    ("link", "capacity_gbps"): lambda s, d: s.link_capacity_gbps,
    ("link", "up"): lambda s, d: _up(s),
    ("link", "enabled"): lambda s, d: d["link", "enabled"],
    ("link", "error_rate"): lambda s, d: d["link", "error_rate"] * _up(s),
    ("job", "step_time_s"): lambda s, d: s.step_time_s,
    ("job", "throughput_pct"): lambda s, d: 100.0 * s.throughput,
    ("job", "exposed_comm_pct"): lambda s, d: 100.0 * s.exposed,
    ("job", "running"): lambda s, d: s.running,
}
"""Every (kind, quantity) of links, of the GPUs' load and of jobs; arrays may be the state's."""
