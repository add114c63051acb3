"""The running plant: physics, instruments, faults and setpoint writes behind one lock."""

import logging
import math
import threading
from array import array
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from facilities.demo.plant.faults import FAULTS, GROUPS, FaultBook
from facilities.demo.plant.orders import OrderLog, WorkOrder
from facilities.demo.plant.outbox import Batch
from facilities.demo.plant.physics import MOMENTARY, Plant
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors
from facilities.demo.plant.writes import Write, WriteLog, asset_of

logger = logging.getLogger(__name__)

WARM_UP_S = 900  # simulated before the first reading, so that a start is not an alarm


class RefusedError(Exception):
    """A request that the plant does not carry out: `status` and `code` are for HTTP."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def timestamp(at: datetime) -> str:
    """UTC time with milliseconds, as pushed."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Runtime:
    """Everything that the HTTP API and the clock touch; safe to call from several threads."""

    def __init__(
        self,
        facility: FacilitySpec,
        *,
        data_dir: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seed: int = 1,
    ) -> None:
        self._lock = threading.Lock()
        self._facility = facility
        self._now = now
        self._log = WriteLog(data_dir / "writes.jsonl")
        self._orders = OrderLog(data_dir / "work-orders.jsonl")
        self._assets = {asset.tag for asset in facility.assets}
        self._book = FaultBook(facility)
        self._elapsed_s = 0.0
        self.plant = Plant(facility, seed=seed)
        self.sensors = Sensors(facility, seed=seed + 1)
        for tag, value in self._log.last_values().items():
            if tag in self.plant.setpoint_tags and tag.rsplit(".", 1)[1] not in MOMENTARY:
                self.plant.write(tag, value)
        start = now()
        for second in range(-WARM_UP_S, 0):
            self.plant.step(1.0, at=start + timedelta(seconds=second))
        self.sensors.step(1.0, values=self.plant.values())

    def step(self, dt_s: float) -> None:
        """Advance the plant and its instruments by dt_s seconds."""
        with self._lock:
            self._elapsed_s += dt_s
            conditions = self._book.conditions(self._elapsed_s)
            self.plant.conditions = conditions
            self.sensors.faults = conditions.instruments
            self.plant.step(dt_s, at=self._now())
            self._book.restarted(self.plant.take_restarted())
            self.sensors.step(dt_s, values=self.plant.values())

    def batch(self) -> Batch:
        """Read every instrument once, stamped with the present time."""
        with self._lock:
            return Batch(ts=timestamp(self._now()), values=array("d", self.sensors.read()))

    def write(
        self, *, tag: str, value: float, key: str, fence: int | None = None
    ) -> dict[str, Any]:
        """Carry out a setpoint write once per key; raises RefusedError.

        ``fence`` counts the holders of a lock on the asset: one that is older than the newest that
        wrote to it is refused, so a holder that was paused and lost its lock cannot write late.
        """
        with self._lock:
            before = self._log.find(key)
            if before is not None:
                if (before.tag, before.value) != (tag, value):
                    raise RefusedError(
                        409,
                        "key_reused",
                        f"key {key} already wrote {before.tag} = {before.value:g}; "
                        f"it cannot also write {tag} = {value:g}. Use a new key.",
                    )
                return self._written(before, duplicate=True)
            self._check(tag, value)
            self._check_fence(asset_of(tag), fence)
            write = Write(
                ts=timestamp(self._now()),
                tag=tag,
                value=value,
                previous=self.plant.setpoint(tag),
                key=key,
                fence=fence,
            )
            self._log.append(write)
            self.plant.write(tag, value)
            logger.info("setpoint %s: %g -> %g (key %s)", tag, write.previous, value, key)
            return self._written(write, duplicate=False)

    def writes(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(write) for write in self._log.entries]

    def open_order(
        self,
        *,
        asset: str,
        title: str,
        text: str,
        priority: str,
        due: str | None,
        key: str,
        fence: int | None = None,
    ) -> dict[str, Any]:
        """Take a work order once per key; raises RefusedError. ``fence`` as for a write."""
        with self._lock:
            order = WorkOrder(
                ts=timestamp(self._now()),
                number=self._orders.next_number,
                asset=asset,
                title=title,
                text=text,
                priority=priority,
                due=due,
                key=key,
                fence=fence,
            )
            before = self._orders.find(key)
            if before is not None and before.wanted != order.wanted:
                raise RefusedError(
                    409,
                    "key_reused",
                    f"key {key} already opened {before.number} “{before.title}” for "
                    f"{before.asset}; it cannot also open “{title}” for {asset}. Use a new key.",
                )
            if before is not None:
                return {"applied": True, **asdict(before), "duplicate": True}
            if asset not in self._assets:
                raise RefusedError(404, "unknown_asset", f"the plant has no asset {asset}")
            self._check_fence(asset, fence)
            self._orders.append(order)
            logger.info("work order %s for %s: %s (key %s)", order.number, asset, title, key)
            return {"applied": True, **asdict(order), "duplicate": False}

    def orders(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(order) for order in self._orders.entries]

    def inject(
        self, name: str, *, severity: float | None = None, over_s: float | None = None
    ) -> None:
        """Make fault `name` present, developing to ``severity`` (0..1) over ``over_s`` seconds.

        Raises RefusedError for an unknown fault, or for a number that it cannot have.
        """
        self._check_fault(name)
        with self._lock:
            try:
                self._book.inject(name, now_s=self._elapsed_s, severity=severity, over_s=over_s)
            except ValueError as error:
                raise RefusedError(422, "out_of_limits", str(error)) from error
        logger.info("fault %s injected (severity %s, over %s s)", name, severity, over_s)

    def clear(self, name: str | None = None) -> None:
        """Clear one fault, or all; clearing what is not present is fine."""
        if name is not None:
            self._check_fault(name)
        with self._lock:
            self._book.clear(name)
        logger.info("%s cleared", name or "all faults")

    def faults(self) -> list[dict[str, Any]]:
        """All known faults and whether each is present; ``level`` is how far it has developed."""
        with self._lock:
            present = self._book.present
            return [
                {
                    "name": fault.name,
                    "group": fault.group,
                    "title": fault.title,
                    "cause": fault.cause,
                    "active": fault.name in present,
                    "level": (
                        round(present[fault.name].level(self._elapsed_s), 3)
                        if fault.name in present
                        else 0.0
                    ),
                    "alarms": list(fault.alarms),
                    "procedure": fault.procedure,
                    "flags": list(fault.flags),
                    "scales": fault.scales,
                    "over_s": fault.over_s,
                }
                for fault in sorted(FAULTS.values(), key=lambda each: GROUPS.index(each.group))
            ]

    def state(self) -> dict[str, Any]:
        """Active faults, setpoints and what every instrument reads."""
        with self._lock:
            return {
                "ts": timestamp(self._now()),
                "faults": sorted(self._book.present),
                "setpoints": {tag: self.plant.setpoint(tag) for tag in self.plant.setpoint_tags},
                "values": {
                    tag: None if math.isnan(value) else value
                    for tag, value in zip(self.sensors.tags, self.sensors.read(), strict=True)
                },
            }

    def _check(self, tag: str, value: float) -> None:
        point = self._facility.point(tag)
        if point is None:
            raise RefusedError(404, "unknown_point", f"the plant has no point {tag}")
        if not point.writable or tag not in self.plant.setpoint_tags:
            raise RefusedError(422, "not_writable", f"{tag} is a measurement; it cannot be written")
        whole_wanted = point.write_max - point.write_min <= 1.0
        inside = point.write_min <= value <= point.write_max
        if not inside or (whole_wanted and not float(value).is_integer()):
            allowed = "or" if whole_wanted else "to"
            raise RefusedError(
                422,
                "out_of_limits",
                f"{tag}: {value:g} {point.unit} is refused, the controller takes "
                f"{point.write_min:g} {allowed} {point.write_max:g}",
            )

    def _check_fence(self, asset: str, fence: int | None) -> None:
        newest = max(self._log.fence(asset), self._orders.fence(asset))
        if fence is not None and fence < newest:
            raise RefusedError(
                409,
                "stale_fence",
                f"{asset}: fence {fence} is older than {newest}, which acted on it since: "
                "somebody else holds it now. Nothing was done.",
            )

    @staticmethod
    def _check_fault(name: str) -> None:
        if name not in FAULTS:
            raise RefusedError(
                404, "unknown_fault", f"no fault is called {name}; known: {', '.join(FAULTS)}"
            )

    @staticmethod
    def _written(write: Write, *, duplicate: bool) -> dict[str, Any]:
        return {
            "applied": True,
            "tag": write.tag,
            "previous": write.previous,
            "value": write.value,
            "duplicate": duplicate,
        }
