"""Failed instruments: the plant is healthy, what it reports is not."""

from facilities.demo.plant.conditions import Ailment, Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault

HOUR_S = 3600.0


@fault(
    "sensor-stuck",
    group="Instruments",
    title="The return air probe of CRAC 1 shows one value for ever",
    cause="crac-1",
    flags=("flat_line",),
)
def _sensor_stuck(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.instruments["crac-1.return_c"] = Ailment("stuck")


@fault(
    "sensor-drift",
    group="Instruments",
    title="The header probe of chiller 1 drifts, by 0.6 °C a minute if not told otherwise",
    cause="chiller-1",
    flags=("redundancy", "drift"),
    scales=True,
    over_s=600.0,
)
def _sensor_drift(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["chiller-1.supply_c"] = Ailment("drift", 6.0 * level)


@fault(
    "inlet-sensor-drift",
    group="Instruments",
    title="The inlet probe of rack 2-03 drifts to 5 °C too warm within hours",
    cause="rack-2-03",
    flags=("drift",),
    scales=True,
    over_s=8 * HOUR_S,
)
def _inlet_sensor_drift(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["rack-2-03.inlet_c"] = Ailment("drift", 5.0 * level)


@fault(
    "sensor-offset",
    group="Instruments",
    title="The supply air probe of CRAC 3 was calibrated wrongly: 2 °C too low",
    cause="crac-3",
    flags=("twin residual",),
    scales=True,
)
def _sensor_offset(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["crac-3.supply_c"] = Ailment("offset", -2.0 * level)


@fault(
    "sensor-lag",
    group="Instruments",
    title="The inlet probe of rack 1-03 answers slowly: two minutes instead of ten seconds",
    cause="rack-1-03",
    flags=("twin residual",),
    scales=True,
)
def _sensor_lag(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["rack-1-03.inlet_c"] = Ailment("lag", 120.0 * level)


@fault(
    "sensor-spikes",
    group="Instruments",
    title="The inlet probe of rack 1-05 has a loose contact",
    cause="rack-1-05",
    flags=("stream",),
    scales=True,
)
def _sensor_spikes(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["rack-1-05.inlet_c"] = Ailment("spikes", 0.05 * level)


@fault(
    "sensor-dropout",
    group="Instruments",
    title="The outlet probe of rack 1-07 loses most of its readings",
    cause="rack-1-07",
    flags=("gap",),
    scales=True,
)
def _sensor_dropout(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.instruments["rack-1-07.outlet_c"] = Ailment("dropout", 0.9 * level)


@fault(
    "sensor-silent",
    group="Instruments",
    title="The inlet probe of rack 2-06 sends nothing",
    cause="rack-2-06",
    flags=("gap",),
)
def _sensor_silent(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.instruments["rack-2-06.inlet_c"] = Ailment("silent")
