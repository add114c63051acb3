"""Modbus TCP: holding registers and coils of a controller.

Modbus knows no keys, but a setpoint is absolute: a lost answer is settled by reading the register,
and writing the same value again changes nothing.
"""

from __future__ import annotations

import time
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from approvals.drivers.base import Driver, DriverError, Order, WriteResult, same

ANSWER_S = 3.0
ATTEMPTS = 3
PAUSE_S = 0.3
WHOLE = {"int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
         "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}  # fmt: skip


class ModbusDriver(Driver):
    """Settings: `host`, `port`, `unit`, and by tag `register`, `kind`, `type`, `scale`, …"""

    name = "modbus"

    def plan(self, order: Order) -> list[str]:
        """The registers and the raw value."""
        point, raw = self._raw(order)
        kind = "coil" if _is_coil(point) else f"holding register ({point.get('type', 'uint16')})"
        return [
            f"Modbus TCP {self.settings['host']}:{self._port} unit {self._unit}: {kind} "
            f"{point['register']} = {raw:g}, then read back"
        ]

    def write(self, order: Order) -> WriteResult:
        """Read, write where it differs, read back."""
        point, raw = self._raw(order)
        sent, problem, previous = False, "", None
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                time.sleep(PAUSE_S)
            client = self._client()
            try:
                if not client.connect():
                    problem = "cannot be reached"
                    continue
                before = self._read(client, point)
                previous = before if previous is None else previous
                if not same(before, raw):
                    sent = True
                    self._send(client, point, raw)
                after = self._read(client, point)
            except _Refused as error:
                raise DriverError(
                    f"{self._where} refused {order.tag} = {order.value:g}: {error}",
                    maybe_applied=False,
                ) from error
            except (ModbusException, OSError) as error:
                problem = f"did not answer ({error})"
                continue
            finally:
                client.close()
            if same(after, raw):
                known = self._value(point, previous)
                return WriteResult(
                    order.tag, order.value, known, duplicate=not sent, attempts=attempt,
                    response={"register": point["register"], "raw": after},
                    read_back=self._value(point, after),
                )  # fmt: skip
            problem = f"took {raw:g} into register {point['register']} but reads {after:g}"
        unknown = "it may or may not have been applied" if sent else "nothing was written"
        raise DriverError(
            f"writing {order.tag} = {order.value:g}: {self._where} {problem}, {ATTEMPTS} tries; "
            f"{unknown}",
            maybe_applied=sent,
        )

    @property
    def _port(self) -> int:
        return int(self.settings.get("port", 502))

    @property
    def _unit(self) -> int:
        return int(self.settings.get("unit", 1))

    @property
    def _where(self) -> str:
        return f"the controller {self.settings['host']}:{self._port} (unit {self._unit})"

    def _client(self) -> ModbusTcpClient:
        timeout = float(self.settings.get("timeout_s", ANSWER_S))
        return ModbusTcpClient(self.settings["host"], port=self._port, timeout=timeout, retries=0)

    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        point = self.settings["points"].get(order.tag)
        if point is None:
            raise DriverError(
                f"{self._where} has no register for {order.tag}; add it to the binding",
                maybe_applied=False,
            )
        raw = order.value * point.get("scale", 1.0) + point.get("offset", 0.0)
        if _is_coil(point):
            if raw not in (0, 1):
                raise DriverError(
                    f"{order.tag} = {order.value:g} is no coil value: 0 or 1", maybe_applied=False
                )
        elif (limits := WHOLE.get(point.get("type", "uint16"))) is not None:
            raw = float(round(raw))
            if not limits[0] <= raw <= limits[1]:
                raise DriverError(
                    f"{order.tag} = {order.value:g} becomes {raw:g}, outside {limits[0]}…"
                    f"{limits[1]} of register {point['register']}",
                    maybe_applied=False,
                )
        return point, raw

    @staticmethod
    def _value(point: dict[str, Any], raw: float | None) -> float | None:
        if raw is None:
            return None
        return (raw - float(point.get("offset", 0.0))) / float(point.get("scale", 1.0))

    def _read(self, client: ModbusTcpClient, point: dict[str, Any]) -> float:
        register = point["register"]
        if _is_coil(point):
            answer = _checked(client.read_coils(register, count=1, device_id=self._unit))
            return float(answer.bits[0])
        kind = _datatype(client, point)
        answer = _checked(
            client.read_holding_registers(register, count=kind.value[1], device_id=self._unit)
        )
        value = client.convert_from_registers(
            answer.registers, kind, word_order=point.get("word_order", "big")
        )
        return float(value)  # type: ignore[arg-type]

    def _send(self, client: ModbusTcpClient, point: dict[str, Any], raw: float) -> None:
        register = point["register"]
        if _is_coil(point):
            _checked(client.write_coil(register, bool(raw), device_id=self._unit))
            return
        kind = _datatype(client, point)
        number = raw if kind.name.startswith("FLOAT") else int(raw)
        words = client.convert_to_registers(number, kind, word_order=point.get("word_order", "big"))
        if len(words) == 1:
            _checked(client.write_register(register, words[0], device_id=self._unit))
        else:
            _checked(client.write_registers(register, words, device_id=self._unit))


class _Refused(Exception):
    """The controller answered with an exception code."""


def _is_coil(point: dict[str, Any]) -> bool:
    return point.get("kind") == "coil"


def _datatype(client: ModbusTcpClient, point: dict[str, Any]) -> Any:
    return client.DATATYPE[point.get("type", "uint16").upper()]


def _checked(answer: ModbusPDU) -> ModbusPDU:
    if answer.isError():
        raise _Refused(f"Modbus exception {getattr(answer, 'exception_code', answer)}")
    return answer
