"""Which GPU sits in which server and rack, and what each device allows: constant arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..site import AssetRecord, Floats, Ints, Site, SiteError
from .devices import Device, device_of
from .dvfs import DvfsTables

THRESHOLD_ATTRIBUTES = ("max_op_c", "slowdown_c", "shutdown_c", "memory_max_op_c", "max_w")


def installed(asset: AssetRecord) -> Device:
    """The device of a GPU asset: its model's row with what was read from the card in its place.

    Raises ``SiteError`` for an unknown model, a limit that is no number, or limits out of order.
    """
    try:
        device = device_of(asset.attributes.get("model"))
    except KeyError as error:
        raise SiteError(f"gpu {asset.tag}: {error.args[0]}") from None
    read: dict[str, Any] = {}
    for name in THRESHOLD_ATTRIBUTES:
        if name in asset.attributes:
            try:
                read[name] = float(asset.attributes[name])
            except (TypeError, ValueError):
                raise SiteError(
                    f"gpu {asset.tag}: attribute {name} is {asset.attributes[name]!r}, not a number"
                ) from None
    device = replace(device, **read)
    if not device.max_op_c <= device.slowdown_c <= device.shutdown_c:
        raise SiteError(
            f"gpu {asset.tag}: maximum operating {device.max_op_c} °C, slowdown "
            f"{device.slowdown_c} °C and shutdown {device.shutdown_c} °C must rise in this order"
        )
    return device


@dataclass(frozen=True)
class Groups:
    """Sums and maxima over GPUs by an outer asset, without a loop."""

    order: Ints | None
    """GPU order that makes groups contiguous; None where they are already."""
    starts: Ints
    present: Ints
    """Outer assets that have a GPU, in the order of ``starts``."""

    @classmethod
    def of(cls, outer: Ints) -> Groups:
        """Groups by ``outer`` (gpus,); members of -1 are left out by the caller."""
        order = np.argsort(outer, kind="stable")
        ordered = outer[order]
        present, starts = np.unique(ordered, return_index=True)
        contiguous = bool((order == np.arange(len(outer))).all())
        return cls(None if contiguous else order, starts, present)

    def reduce(self, ufunc: np.ufunc, values: Floats) -> Floats:
        """``ufunc`` over each group, shape (members, groups)."""
        ordered = values if self.order is None else values[:, self.order]
        return ufunc.reduceat(ordered, self.starts, axis=1)


class Layout:
    """Arrays in site order: gpus (G,), servers (S,). Raises ``SiteError`` for a GPU without server
    or a server without rack.
    """

    def __init__(self, site: Site) -> None:
        self.gpus, self.servers = site.count("gpu"), site.count("server")
        self.gpu_server = site.within("gpu", "server")
        self.server_rack = site.within("server", "rack")
        for kind, outer, places in (
            ("gpu", "server", self.gpu_server),
            ("server", "rack", self.server_rack),
        ):
            lost = np.flatnonzero(places < 0)
            if len(lost):
                tag = site.of_kind(kind)[int(lost[0])].tag
                raise SiteError(f"{kind} {tag} belongs to no {outer}: give it one in the data list")
        self.gpu_rack = self.server_rack[self.gpu_server]
        self.by_server = Groups.of(self.gpu_server) if self.gpus else None
        self.every_server_has_gpus = self.by_server is not None and (
            len(self.by_server.present) == self.servers
        )

        fitted = [installed(asset) for asset in site.of_kind("gpu")]
        kinds = list(dict.fromkeys(fitted))
        row = np.array([kinds.index(device) for device in fitted], dtype=np.int64)
        self.devices = tuple(fitted)
        self.tables = DvfsTables(kinds, row)
        self.max_op_c = _column(fitted, "max_op_c")
        self.slowdown_c = _column(fitted, "slowdown_c")
        self.shutdown_c = _column(fitted, "shutdown_c")
        self.memory_max_op_c = _column(fitted, "memory_max_op_c")
        self.max_w = _column(fitted, "max_w")
        self.min_limit_w = np.minimum(_column(fitted, "min_limit_w"), self.max_w)
        self.idle_w = _column(fitted, "idle_w")
        self.max_clock = _column(fitted, "max_clock_mhz")
        self.idle_clock = _column(fitted, "idle_clock_mhz")
        self.step_mhz = _column(fitted, "step_mhz")
        self.max_volts = np.array([device.volts[-1][1] for device in fitted])
        self.idle_volts = np.array([device.volts[0][1] for device in fitted])
        self.max_g = self.max_volts**2 * self.max_clock
        self.idle_g = self.idle_volts**2 * self.idle_clock

        self.sync_groups = self._sync_groups(site)
        self.base_share = site.attribute("server", "base_share", 1.0)

    def _sync_groups(self, site: Site) -> Ints | None:
        """Group number of each GPU under sync boost; every other GPU is a group of its own."""
        servers = site.of_kind("server")
        numbers: dict[str, int] = {}
        group = np.arange(self.gpus)
        for index, asset in enumerate(site.of_kind("gpu")):
            server = servers[int(self.gpu_server[index])]
            name = asset.attributes.get("sync_boost", server.attributes.get("sync_boost"))
            if name:
                key = f"{server.tag}/{name}" if name is True else str(name)
                group[index] = numbers.setdefault(key, self.gpus + len(numbers))
        return group if numbers else None


def _column(devices: list[Device], name: str) -> Floats:
    return np.array([getattr(device, name) for device in devices], dtype=np.float64)
