"""Do others want the cores? Then threads sleep at barriers at once, else they look a little while.

A step has hundreds of barriers. Sleeping at each costs a wake-up, half of the speed on idle cores;
looking while another process has the core that the awaited thread needs costs its whole time slice.
"""

import ctypes
import logging
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("kvserve")

PERIOD_S = 0.5
# cores that others use beyond those this process leaves free: measured break-even 0.5 to 0.7 on two
# cores (docs/performance.md)
CROWDED = 0.6
FREE = 0.4
CALM_PERIODS = 2  # in a row before threads look again

STAT = Path("/proc/stat")
NOT_BUSY = (3, 4)  # fields idle and iowait
BUSY_FIELDS = 8  # user … steal; guest time is in user already
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CpuTime(NamedTuple):
    """Seconds: when it was read, what everybody used of our CPUs, and what this process used."""

    at: float
    everybody: float
    own: float

    def others_since(self, before: "CpuTime") -> float:
        """Cores that others used meanwhile."""
        elapsed = max(self.at - before.at, 1e-6)
        own = self.own - before.own
        return max(0.0, (self.everybody - before.everybody - own) / elapsed)


def cpu_time(stat: Path = STAT) -> CpuTime | None:
    """From the kernel's accounts of the CPUs that this process may run on; None without them."""
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    try:
        for line in stat.read_text().splitlines():
            name, *fields = line.split()
            if name in names:
                values = [int(field) for field in fields[:BUSY_FIELDS]]
                ticks += sum(values) - sum(values[i] for i in NOT_BUSY)
    except (OSError, ValueError, IndexError):
        return None
    return CpuTime(time.monotonic(), ticks / TICKS_PER_S, time.process_time()) if ticks else None


class Crowd:
    """Watches the CPUs until `close`, which lets threads look again."""

    def __init__(self, library: ctypes.CDLL, *, threads: int) -> None:
        self.library = library
        self.threads = threads
        self.room = max(0, len(os.sched_getaffinity(0)) - threads)
        self.crowded = False
        self._calm = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kvserve-crowd", daemon=True)
        self._before = cpu_time()
        if self._before is None:  # nobody would notice a crowd: be careful
            self._set(True)
        elif threads > 1:
            self._thread.start()

    def note(self, others: float) -> None:
        """Decide after a period in which others used so many cores."""
        excess = others - self.room
        self._calm = self._calm + 1 if excess < FREE else 0
        if not self.crowded and excess > CROWDED:
            self._set(True)
        elif self.crowded and self._calm >= CALM_PERIODS:
            self._set(False)

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.crowded:
            self._set(False)

    def _set(self, crowded: bool) -> None:
        self.crowded = crowded
        self.library.crowd_hold(crowded, self.threads)
        log.debug(
            "threads %s at barriers", "sleep at once" if crowded else "look before they sleep"
        )

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            now = cpu_time()
            if now is not None and self._before is not None:
                self.note(now.others_since(self._before))
            self._before = now
