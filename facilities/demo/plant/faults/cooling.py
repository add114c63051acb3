"""Faults of air and water: CRACs, pumps, chillers, tower, CDU, containment, humidity."""

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault, index_of

HOUR_S = 3600.0


@fault(
    "crac-2-trip",
    group="Cooling",
    title="CRAC 2 trips and stops",
    cause="crac-2",
    alarms=("CRAC fault", "Rack inlet high"),
    procedure="EOP-CRAC-01",
)
def _crac_2_trip(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.crac_tripped[index_of(facility, "crac", "crac-2")] = True


@fault(
    "crac-1-fan-degraded",
    group="Cooling",
    title="CRAC 1 fan drive is limited to 45 %",
    cause="crac-1",
    alarms=("CRAC fault",),
    procedure="EOP-CRAC-01",
    scales=True,
)
def _crac_1_fan_degraded(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.crac_fan_limit[index_of(facility, "crac", "crac-1")] = 1.0 - 0.55 * level


@fault(
    "crac-1-fan-wear",
    group="Cooling",
    title="CRAC 1 fan bearing and blades wear: less air, more power, then the drive limits it",
    cause="crac-1",
    alarms=("CRAC fault",),
    procedure="MOP-CRAC-04",
    scales=True,
    over_s=8 * HOUR_S,
)
def _crac_1_fan_wear(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    unit = index_of(facility, "crac", "crac-1")
    conditions.crac_fan_wear[unit] = level
    if level > 0.8:  # assumed: the drive's motor protection steps in
        conditions.crac_fan_limit[unit] = 0.9


@fault(
    "crac-3-filter-clog",
    group="Cooling",
    title="CRAC 3 filter clogs; over hours it fouls as filters do",
    cause="crac-3",
    alarms=("CRAC filter loaded",),
    procedure="MOP-CRAC-02",
    scales=True,
)
def _crac_3_filter_clog(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.crac_filter_resistance[index_of(facility, "crac", "crac-3")] = 1.0 + 8.0 * level


@fault(
    "crac-1-valve-stuck",
    group="Cooling",
    title="CRAC 1 chilled water valve stands at 6 %",
    cause="crac-1",
    alarms=("CRAC supply off setpoint",),
    procedure="MOP-CRAC-04",
    within_s=420,
)
def _crac_1_valve_stuck(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.crac_valve_stuck[index_of(facility, "crac", "crac-1")] = 0.06


@fault(
    "crac-3-coil-fouled",
    group="Cooling",
    title="CRAC 3 coil fouls on the air side until its valve no longer holds the supply air",
    cause="crac-3",
    alarms=("CRAC supply off setpoint",),
    procedure="MOP-CRAC-04",
    within_s=900,
    scales=True,
)
def _crac_3_coil_fouled(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.crac_coil_ua[index_of(facility, "crac", "crac-3")] = 1.0 - 0.8 * level


@fault(
    "chwp-1-trip",
    group="Cooling",
    title="Chilled water pump 1 trips",
    cause="chwp-1",
    alarms=("Chilled water pump fault",),
    procedure="EOP-CHW-01",
)
def _chwp_1_trip(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.pump_tripped[index_of(facility, "pump", "chwp-1")] = True


@fault(
    "chwp-1-worn",
    group="Cooling",
    title="Chilled water pump 1 loses flow: worn impeller",
    cause="chwp-1",
    alarms=("Chilled water flow low",),
    procedure="EOP-CHW-01",
    scales=True,
)
def _chwp_1_worn(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.pump_head[index_of(facility, "pump", "chwp-1")] = 1.0 - 0.5 * level


@fault(
    "chiller-1-trip",
    group="Cooling",
    title="Chiller 1 trips",
    cause="chiller-1",
    alarms=("Chiller fault",),
    procedure="EOP-CHW-02",
)
def _chiller_1_trip(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.chiller_tripped[index_of(facility, "chiller", "chiller-1")] = True


@fault(
    "chiller-lockout",
    group="Cooling",
    title="Chiller 1 trips and chiller 2 is locked out",
    cause="chiller-1",
    alarms=("Chiller fault", "Chilled water supply warm"),
    procedure="EOP-CHW-02",
    within_s=300,
)
def _chiller_lockout(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.chiller_tripped[:] = True


@fault(
    "tower-1-fan-trip",
    group="Cooling",
    title="The fan of cooling tower 1 trips",
    cause="tower-1",
    alarms=("Cooling tower fault", "Condenser water warm"),
    procedure="EOP-TOWER-01",
    within_s=900,
)
def _tower_1_fan_trip(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.tower_tripped[:] = True


@fault(
    "tower-1-fill-scaled",
    group="Cooling",
    title="The fill of cooling tower 1 scales up",
    cause="tower-1",
    alarms=("Condenser water warm",),
    procedure="EOP-TOWER-01",
    within_s=1500,
    scales=True,
)
def _tower_1_fill_scaled(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.tower_fill[:] = 1.0 - 0.85 * level


@fault(
    "cdu-1-trip",
    group="Cooling",
    title="CDU 1 trips: no water to the cold plates of rack 2-04",
    cause="cdu-1",
    alarms=("CDU fault", "GPU hot"),
    procedure="EOP-CDU-01",
    within_s=240,
)
def _cdu_1_trip(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.cdu_tripped[:] = True


@fault(
    "cdu-1-fouled",
    group="Cooling",
    title="The heat exchanger of CDU 1 fouls",
    cause="cdu-1",
    alarms=("Technology water warm",),
    procedure="EOP-CDU-01",
    within_s=900,
    scales=True,
)
def _cdu_1_fouled(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.cdu_exchanger_ua[:] = 1.0 - 0.96 * level


@fault(
    "hot-aisle-door-open",
    group="Cooling",
    title="The door of the hot-aisle containment stands open",
    cause="hall-1",
    alarms=("Containment door open",),
    procedure="SOP-TEMP-01",
    scales=True,
)
def _hot_aisle_door_open(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.door_open = level


@fault(
    "humidifier-stuck",
    group="Cooling",
    title="The humidifier of the fresh-air unit does not stop",
    cause="hall-1",
    alarms=("Hall humidity high",),
    procedure="SOP-TEMP-01",
    within_s=1200,
)
def _humidifier_stuck(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.humidifier_stuck = True
