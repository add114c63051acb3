"""Constants of the network model."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import Constants, constant
from .links import LINK_KINDS


@dataclass(frozen=True)
class NetworkConstants(Constants):
    """Bandwidths are for one direction; times in seconds."""

    nvlink_gb_s: float = constant(
        LINK_KINDS["nvlink4"].usable_gb_s, LINK_KINDS["nvlink4"].source, spread=0.05
    )
    nvlink_alpha_s: float = constant(936.25e-9, "astra-sim HGX-H100-validated.yml, 8 GPUs")
    pcie_gb_s: float = constant(LINK_KINDS["pcie5-x16"].usable_gb_s, LINK_KINDS["pcie5-x16"].source)
    fabric_share: float = constant(
        LINK_KINDS["infiniband-ndr"].usable_share, LINK_KINDS["infiniband-ndr"].source, spread=0.01
    )
    fabric_alpha_s: float = constant(
        6e-6, "assumed: a step between servers, NIC to NIC over two switches with NCCL's protocol"
    )
    ecmp_excess: float = constant(
        0.196,
        "computed: of 16 flows hashed onto two paths the fuller takes 0.598 on average (binomial) "
        "against 0.5; 16 flows is assumed",
    )
    backward_share: float = constant(
        2 / 3, "the backward pass of a transformer costs twice the forward (Kaplan et al. 2020)"
    )
    spin_share: float = constant(
        0.35,
        "assumed: a GPU that waits in a collective polls and draws as at 35 % of its load",
        spread=0.15,
    )
    stalled_s: float = constant(600.0, "PyTorch's collectives give up after 10 minutes by default")
    errors_limit: float = constant(
        10.0, "alarm rule Link errors of the demo site: 10 symbol errors a second"
    )
