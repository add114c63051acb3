"""Commands that a point does not keep, against the field devices: given at most once."""

from __future__ import annotations

import pytest

from approvals.drivers.base import Driver, DriverError, Order
from approvals.drivers.modbus import ModbusDriver
from approvals.drivers.redfish import RedfishDriver
from approvals.tests.field_devices import PASSWORD
from approvals.tests.field_kit import Field


class TestMomentary:
    """A reset is no setpoint: done twice is done twice."""

    def _driver(self, name: str, field: Field) -> tuple[Driver, Order]:
        tag = "srv-1.reset_cmd"
        order = Order(tag, 1.0, "k:0", momentary=True)
        if name == "modbus":
            return ModbusDriver(field.modbus(field.registers([tag]))), order
        return RedfishDriver(field.redfish(field.resources([tag])), PASSWORD), order

    @pytest.mark.parametrize("name", ["modbus", "redfish"])
    def test_it_is_sent_once_whatever_comes_back(self, name: str, field: Field) -> None:
        driver, order = self._driver(name, field)
        assert not driver.can_repeat(order)
        field.faults(name, {"kind": "lost_after"})
        with pytest.raises(DriverError, match="1 try; it may or may not") as failed:
            driver.write(order)
        assert failed.value.maybe_applied
        assert len(field.log(name)) == 1
        assert driver.look(order).applied is None

    @pytest.mark.parametrize("name", ["modbus", "redfish"])
    def test_it_waits_for_a_busy_device(self, name: str, field: Field) -> None:
        driver, order = self._driver(name, field)
        field.faults(name, {"kind": "busy", "after": 0})
        result = driver.write(order)
        assert (result.attempts, result.read_back) == (2, None)
        assert len(field.log(name)) == 1
