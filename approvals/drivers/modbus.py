"""Modbus TCP: holding registers and coils of a controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from approvals.drivers.base import DriverError, Order, only_setpoints
from approvals.drivers.settled import Found, Lost, SettledDriver

ANSWER_S = 3.0
WHOLE = {"int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
         "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}  # fmt: skip


class ModbusDriver(SettledDriver):
    """Settings: `host`, `port`, `unit`, and by tag `register`, `kind`, `type`, `scale`, …"""

    name = "modbus"

    def plan(self, order: Order) -> list[str]:
        """The registers and the raw value."""
        point, raw = self._raw(order)
        kind = "coil" if _is_coil(point) else f"holding register ({_type(point)})"
        return [
            f"Modbus TCP {self.settings['host']}:{self._port} unit {self._unit}: {kind} "
            f"{point['register']} = {raw:g}, then read back"
        ]

    @property
    def _port(self) -> int:
        return int(self.settings.get("port", 502))

    @property
    def _unit(self) -> int:
        return int(self.settings.get("unit", 1))

    def _place(self) -> str:
        return f"the controller {self.settings['host']}:{self._port} (unit {self._unit})"

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
            answer = self._checked(link.read_coils(register, count=1, device_id=self._unit))
            return Found(float(answer.bits[0]))
        kind = _datatype(link, point)
        answer = self._checked(
            link.read_holding_registers(register, count=kind.value[1], device_id=self._unit)
        )
        value: Any = link.convert_from_registers(
            answer.registers, kind, word_order=point.get("word_order", "big")
        )
        return Found(float(value))

    def _send(self, link: ModbusTcpClient, point: dict[str, Any], raw: float, found: Found) -> None:
        register = point["register"]
        if _is_coil(point):
            self._checked(link.write_coil(register, bool(raw), device_id=self._unit))
            return
        kind = _datatype(link, point)
        number = raw if kind.name.startswith("FLOAT") else int(raw)
        words = link.convert_to_registers(number, kind, word_order=point.get("word_order", "big"))
        if len(words) == 1:
            self._checked(link.write_register(register, words[0], device_id=self._unit))
        else:
            self._checked(link.write_registers(register, words, device_id=self._unit))

    def _checked(self, answer: ModbusPDU) -> ModbusPDU:
        if answer.isError():
            code = getattr(answer, "exception_code", answer)
            raise DriverError(
                f"{self._place()} refused with Modbus exception {code}", maybe_applied=False
            )
        return answer


def _is_coil(point: dict[str, Any]) -> bool:
    return point.get("kind") == "coil"


def _type(point: dict[str, Any]) -> str:
    return str(point.get("type", "uint16"))


def _datatype(client: ModbusTcpClient, point: dict[str, Any]) -> Any:
    return client.DATATYPE[_type(point).upper()]
