"""Modbus TCP: holding registers and coils of a controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from approvals.drivers.base import DriverError, Order, only_carried, only_setpoints
from approvals.drivers.settled import Busy, Found, Lost, SettledDriver

ANSWER_S = 3.0
# Exceptions of the specification (Modbus Application Protocol V1.1b3, 7): what they mean, and
# whether the request may have been carried out all the same.
NOT_TAKEN = {1: "illegal function", 2: "illegal data address", 3: "illegal data value",
             7: "negative acknowledge", 10: "gateway path unavailable"}  # fmt: skip
MAYBE_TAKEN = {4: "device failure", 8: "memory parity error", 11: "gateway target did not answer"}
ACKNOWLEDGE, BUSY = 5, 6
BUSY_S = 1.0
WHOLE = {"int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
         "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}  # fmt: skip


class ModbusDriver(SettledDriver):
    """Settings: `host`, `port`, `unit`, and by tag `register`, `kind`, `type`, `scale`, …"""

    name = "modbus"

    def plan(self, order: Order) -> list[str]:
        """The registers and the raw value."""
        point, raw = self._raw(order)
        kind = "coil" if _is_coil(point) else f"holding register ({_type(point)})"
        after = "once, not read back" if order.momentary else "then read back"
        return [
            f"Modbus TCP {self.settings['host']}:{self._port} unit {self._unit(point)}: {kind} "
            f"{point['register']} = {raw:g}, {after}"
        ]

    @property
    def _port(self) -> int:
        return int(self.settings.get("port", 502))

    def _unit(self, point: dict[str, Any]) -> int:
        return int(point.get("unit", self.settings.get("unit", 1)))

    def _place(self) -> str:
        return f"the controller {self.settings['host']}:{self._port}"

    @contextmanager
    def _connected(self) -> Iterator[ModbusTcpClient]:
        timeout = float(self.settings.get("timeout_s", ANSWER_S))
        client = ModbusTcpClient(self.settings["host"], port=self._port, timeout=timeout, retries=0)
        try:
            if not client.connect():
                raise Lost("cannot be reached")
            yield client
        except (ModbusException, OSError) as error:
            raise Lost(f"did not answer ({error})") from error
        finally:
            client.close()

    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        only_setpoints(order, self._place())
        only_carried(order, self.name)
        point = self.settings["points"].get(order.tag)
        if point is None:
            raise DriverError(
                f"{self._place()} has no register for {order.tag}; add it to the binding",
                maybe_applied=False,
            )
        raw = order.value * point.get("scale", 1.0) + point.get("offset", 0.0)
        if _is_coil(point):
            if raw not in (0, 1):
                raise DriverError(
                    f"{order.tag} = {order.value:g} is no coil value: 0 or 1", maybe_applied=False
                )
        elif (limits := WHOLE.get(_type(point))) is not None:
            raw = float(round(raw))
            if not limits[0] <= raw <= limits[1]:
                raise DriverError(
                    f"{order.tag} = {order.value:g} becomes {raw:g}, outside {limits[0]}…"
                    f"{limits[1]} of register {point['register']}",
                    maybe_applied=False,
                )
        return point, raw

    def _value(self, point: dict[str, Any], raw: float) -> float:
        return (raw - float(point.get("offset", 0.0))) / float(point.get("scale", 1.0))

    def _read(self, link: ModbusTcpClient, point: dict[str, Any]) -> Found:
        register = point["register"]
        if _is_coil(point):
            answer = self._checked(link.read_coils(register, count=1, device_id=self._unit(point)))
            return Found(float(answer.bits[0]))
        kind = _datatype(link, point)
        answer = self._checked(
            link.read_holding_registers(register, count=kind.value[1], device_id=self._unit(point))
        )
        value: Any = link.convert_from_registers(
            answer.registers, kind, word_order=point.get("word_order", "big")
        )
        return Found(float(value))

    def _send(
        self, link: ModbusTcpClient, point: dict[str, Any], raw: float, found: Found | None
    ) -> None:
        register, unit = point["register"], self._unit(point)
        if _is_coil(point):
            self._taken(link.write_coil(register, bool(raw), device_id=unit))
            return
        kind = _datatype(link, point)
        number = raw if kind.name.startswith("FLOAT") else int(raw)
        words = link.convert_to_registers(number, kind, word_order=point.get("word_order", "big"))
        if len(words) == 1:
            self._taken(link.write_register(register, words[0], device_id=unit))
        else:
            self._taken(link.write_registers(register, words, device_id=unit))

    def _taken(self, answer: ModbusPDU) -> None:
        """A write's answer: taken, not taken, or nobody knows."""
        code = _exception(answer)
        if code is None or code == ACKNOWLEDGE:  # accepted, takes long: reading back tells
            return
        if code in MAYBE_TAKEN:
            raise Lost(f"answered with Modbus exception {code} ({MAYBE_TAKEN[code]})")
        self._checked(answer)

    def _checked(self, answer: ModbusPDU) -> ModbusPDU:
        """An answer that is no exception."""
        code = _exception(answer)
        if code is None:
            return answer
        if code in (ACKNOWLEDGE, BUSY):
            raise Busy(f"is busy (Modbus exception {code})", BUSY_S)
        if code == 11:  # a gateway whose device is silent now may reach it in a moment
            raise Lost(f"answered with Modbus exception 11 ({MAYBE_TAKEN[11]})")
        said = {**NOT_TAKEN, **MAYBE_TAKEN}.get(code, "unknown")
        raise DriverError(
            f"{self._place()} refused with Modbus exception {code} ({said})", maybe_applied=False
        )


def _exception(answer: ModbusPDU) -> int | None:
    """The exception's code, None for an answer that is none."""
    return int(getattr(answer, "exception_code", 0)) if answer.isError() else None


def _is_coil(point: dict[str, Any]) -> bool:
    return point.get("kind") == "coil"


def _type(point: dict[str, Any]) -> str:
    return str(point.get("type", "uint16"))


def _datatype(client: ModbusTcpClient, point: dict[str, Any]) -> Any:
    return client.DATATYPE[_type(point).upper()]
