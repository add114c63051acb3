"""Bandwidths of the links in a GPU cluster: rated and usable, one direction.

Vendors print NVLink and PCIe in GB/s and often for both directions together, networks in Gb/s for
each direction. Here every figure is for **one direction**; ``gbps`` means 10⁹ bit/s, ``gb_s`` means
10⁹ byte/s, and ``gb_s_of`` and ``gbps_of`` are the only places where 8 appears.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BITS_PER_BYTE: Final = 8.0


def gb_s_of(gbps: float) -> float:
    """GB/s of Gb/s."""
    return gbps / BITS_PER_BYTE


def gbps_of(gb_s: float) -> float:
    """Gb/s of GB/s."""
    return gb_s * BITS_PER_BYTE


class LinkKind(NamedTuple):
    """One technology; ``usable_share`` is what a collective gets of ``rated_gb_s``."""

    name: str
    rated_gb_s: float
    usable_share: float
    source: str

    @property
    def usable_gb_s(self) -> float:
        """GB/s in one direction that a collective can use."""
        return self.rated_gb_s * self.usable_share


_HALF = "vendor's figure is for both directions, halved here"
_NVLINK = "astra-sim HGX-H100-validated.yml: 400 of 450 GB/s"
_IB = "SimAI 1.7 example: 48.5 of 50 GB/s on a 400 Gb/s NIC"
_PCIE = "assumed: 256 B payloads with 24 B of header and framing, 91 %, less flow control"

LINK_KINDS: Final[dict[str, LinkKind]] = {
    kind.name: kind
    for kind in (
        LinkKind("nvlink3", 300.0, 400 / 450, f"A100, 12 x 50 GB/s, {_HALF}; share: {_NVLINK}"),
        LinkKind("nvlink4", 450.0, 400 / 450, f"H100/H200, 18 x 50 GB/s, {_HALF}; {_NVLINK}"),
        LinkKind("nvlink5", 900.0, 400 / 450, f"B200, 18 x 100 GB/s, {_HALF}; share: {_NVLINK}"),
        LinkKind("pcie4-x16", 32.0, 0.85, f"16 GT/s x 16; share: {_PCIE}"),
        LinkKind("pcie5-x16", 64.0, 0.85, f"32 GT/s x 16; share: {_PCIE}"),
        LinkKind("pcie6-x16", 128.0, 0.85, f"64 GT/s x 16; share: {_PCIE}"),
        LinkKind("infiniband-hdr", gb_s_of(200), 0.97, f"200 Gb/s a port; share: {_IB}"),
        LinkKind("infiniband-ndr", gb_s_of(400), 0.97, f"400 Gb/s a port; {_IB}"),
        LinkKind("infiniband-xdr", gb_s_of(800), 0.97, f"800 Gb/s a port; share: {_IB}"),
        LinkKind(
            "ethernet-400g",
            gb_s_of(400),
            0.94,
            "400 Gb/s a port; share assumed: RoCEv2 frames of 4 KiB carry 98 %, less congestion "
            "control",
        ),
    )
}
"""Links by name."""
