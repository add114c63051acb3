"""Instruments: lag, steps, range; states pass unchanged."""

import numpy as np
import pytest

from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors


def test_it_reaches_63_percent_of_a_step_after_tau(facility: FacilitySpec) -> None:
    """A rack inlet probe has tau 10 s: 20 to 30 °C reads 26.3 °C after 10 s."""
    values = Plant(facility).values()
    values["rack", "inlet_c"] = np.full(16, 20.0)
    sensors = Sensors(facility)
    sensors.step(1.0, values=values)
    values["rack", "inlet_c"] = np.full(16, 30.0)
    for _ in range(10):
        sensors.step(1.0, values=values)
    read = dict(zip(sensors.tags, sensors.read(), strict=True))
    assert read["rack-1-01.inlet_c"] == pytest.approx(26.32, abs=0.25)


def test_it_reports_in_steps_of_the_precision_and_within_range(facility: FacilitySpec) -> None:
    sensors = Sensors(facility)
    sensors.step(1.0, values=Plant(facility).values())
    for point, value in zip(facility.points, sensors.read(), strict=True):
        assert point.minimum <= value <= point.maximum
        steps = value / point.precision
        assert steps == pytest.approx(round(steps), abs=1e-6), point.tag


def test_it_passes_states_and_setpoints_unchanged(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    plant.write("crac-1.fan_speed_sp_pct", 83.0)
    sensors = Sensors(facility)
    sensors.step(1.0, values=plant.values())
    read = dict(zip(sensors.tags, sensors.read(), strict=True))
    assert read["crac-1.fan_speed_sp_pct"] == 83.0
    assert read["pdu-a1.breaker_closed"] == 1.0


def test_it_refuses_to_read_before_the_first_value(facility: FacilitySpec) -> None:
    with pytest.raises(RuntimeError, match="call step"):
        Sensors(facility).read()


def test_it_imports_no_django(facility: FacilitySpec) -> None:
    import subprocess
    import sys

    code = (
        "import sys, facilities.demo.plant.main; "
        "sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
