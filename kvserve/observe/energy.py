"""Joules of the engine's work: measured by RAPL where the machine lets us, else estimated.

RAPL counts whole processor packages, so this process is charged by its share of the machine's busy
CPU time; memory, disks, fans and power supplies are not in it. The estimate charges CPU time, and
the cores that the engine keeps for itself, at assumed watts.
"""

import logging
import os
import time
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Protocol

from kvserve.config import WATTS_PER_CORE
from kvserve.engine.scheduler import Chunk

log = logging.getLogger("kvserve")

POWERCAP = Path("/sys/class/powercap")
PROC_STAT = Path("/proc/stat")
IDLE_SHARE = 0.21  # assumed: of a busy core's watts, an idle one (0.74 of 3.5 W, same source)
SHARE_PERIOD_S = 0.5  # the kernel counts busy time in ticks of 10 ms; less would be noise
MEASURED = "rapl"
ESTIMATED = "estimate"


class RaplUnavailable(Exception):
    """This machine gives no RAPL reading; the text says why."""


class Meter(Protocol):
    """`source` is "rapl" or "estimate"; `detail` says what it rests on."""

    source: str
    detail: str

    def read(self) -> float:
        """Joules of this process since the last call."""


class PackageCounter:
    """One package's energy counter, which starts again at 0 after `max_energy_range_uj`."""

    def __init__(self, zone: Path) -> None:
        self._energy = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = int(self._energy.read_text())

    def read(self) -> float:
        """Joules of the whole package since the last call, which must be less than one range ago."""
        now = int(self._energy.read_text())
        used = now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return used / 1e6


class CpuShare:
    """This process's share of the machine's busy CPU time, over the last `SHARE_PERIOD_S` or more."""

    def __init__(self, stat: Path = PROC_STAT) -> None:
        self._stat = stat
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._own, self._busy = time.process_time(), self._busy_s()
        self._at = time.monotonic()
        self.value = 1.0

    def _busy_s(self) -> float:
        """CPU seconds that all processes have used since boot: all but idle and iowait."""
        user, nice, system, _idle, _iowait, irq, softirq, steal = (
            int(part) for part in self._stat.read_text().split("\n", 1)[0].split()[1:9]
        )
        return (user + nice + system + irq + softirq + steal) * self._tick_s

    def update(self) -> float:
        """The share, looked at again when it is old enough."""
        now = time.monotonic()
        if now - self._at >= SHARE_PERIOD_S:
            own, busy = time.process_time(), self._busy_s()
            if busy > self._busy:
                self.value = min(1.0, (own - self._own) / (busy - self._busy))
            self._own, self._busy, self._at = own, busy, now
        return self.value


class RaplMeter:
    """The packages' counters, times this process's share of CPU time.

    Raises:
        RaplUnavailable: no counter here (a VM, another processor), or not readable by this user.
    """

    source = MEASURED

    def __init__(self, powercap: Path = POWERCAP, share: CpuShare | None = None) -> None:
        try:
            # intel-rapl:N is a package (AMD too); intel-rapl:N:M is a part of one, and the twin
            # under intel-rapl-mmio counts the same joules again.
            zones = [
                zone
                for zone in sorted(powercap.glob("intel-rapl:*"))
                if zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package")
            ]
            self._packages = [PackageCounter(zone) for zone in zones]
        except PermissionError as error:
            raise RaplUnavailable(
                f"RAPL is there, but {error.filename} may be read by root only"
            ) from error
        except (OSError, ValueError) as error:
            raise RaplUnavailable(f"RAPL cannot be read ({error})") from error
        if not self._packages:
            raise RaplUnavailable("this machine shows no RAPL package counter")
        self._share = share or CpuShare()
        self.detail = f"RAPL, {len(self._packages)} package(s), by share of CPU time"

    def read(self) -> float:
        joules = sum(package.read() for package in self._packages)
        return joules * self._share.update()


class EstimateMeter:
    """CPU seconds at `watts_per_core`; `cores` that stand idle meanwhile cost `IDLE_SHARE` of it."""

    source = ESTIMATED

    def __init__(self, *, watts_per_core: float, cores: int, reason: str) -> None:
        self._watts, self._cores = watts_per_core, cores
        self._cpu, self._at = time.process_time(), time.monotonic()
        self.detail = f"estimated at {watts_per_core:g} W per busy core: {reason}"

    def read(self) -> float:
        cpu, at = time.process_time(), time.monotonic()
        busy, idle = cpu - self._cpu, (at - self._at) * self._cores - (cpu - self._cpu)
        self._cpu, self._at = cpu, at
        return self._watts * (busy + IDLE_SHARE * max(0.0, idle))


def best_meter(*, watts_per_core: float, cores: int, powercap: Path = POWERCAP) -> Meter:
    """RAPL if this machine has it, else the estimate, which names the reason."""
    try:
        return RaplMeter(powercap)
    except RaplUnavailable as error:
        return EstimateMeter(watts_per_core=watts_per_core, cores=cores, reason=str(error))


class EnergyAccount:
    """Shares the joules of each step out to the sequences in it, by tokens computed.

    The pause while nobody wants anything is nobody's: `resume` forgets it. What is left after a
    counter failed goes on with the estimate.
    """

    def __init__(self, *, watts_per_core: float = WATTS_PER_CORE, cores: int = 1) -> None:
        self._watts, self._cores = watts_per_core, cores
        self.meter = best_meter(watts_per_core=watts_per_core, cores=cores)
        self.total = 0.0

    def resume(self) -> None:
        """Work begins after a pause."""
        self._read()

    def charge(self, chunks: Seq[Chunk]) -> float:
        """Add what was used since the last call to the chunks' sequences; returns the joules."""
        joules = self._read()
        size = sum(chunk.size for chunk in chunks)
        for chunk in chunks:
            chunk.seq.joules += joules * chunk.size / size
        self.total += joules
        return joules

    def _read(self) -> float:
        try:
            return self.meter.read()
        except (OSError, ValueError) as error:
            self.meter = EstimateMeter(
                watts_per_core=self._watts, cores=self._cores, reason=f"RAPL failed: {error}"
            )
            log.warning("energy is %s", self.meter.detail)
            return 0.0
