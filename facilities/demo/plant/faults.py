"""The faults that can be injected. A new one: one function here, one row in docs/demo-plant.md."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

Apply = Callable[[Conditions, FacilitySpec], None]


@dataclass(frozen=True)
class Fault:
    """A named failure, the alarm rules it is sure to raise and the procedure that answers it.

    A failed instrument raises no alarm of the plant: it has `flags`, the quality tests that find
    it, instead of alarms and a procedure.
    """

    name: str
    title: str
    alarms: tuple[str, ...]
    procedure: str
    apply: Apply
    flags: tuple[str, ...] = ()


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    title: str,
    alarms: tuple[str, ...] = (),
    procedure: str = "",
    flags: tuple[str, ...] = (),
) -> Callable[..., Apply]:
    """Register the decorated function as the effect of fault `name`."""

    def register(apply: Apply) -> Apply:
        FAULTS[name] = Fault(name, title, alarms, procedure, apply, flags)
        return apply

    return register


def conditions_of(names: Iterable[str], facility: FacilitySpec) -> Conditions:
    """The equipment's health with all named faults present; raises KeyError for an unknown one."""
    conditions = Conditions.healthy(facility)
    for name in names:
        FAULTS[name].apply(conditions, facility)
    return conditions


def _index(facility: FacilitySpec, kind: str, tag: str) -> int:
    return [asset.tag for asset in facility.of_kind(kind)].index(tag)


@fault(
    "crac-2-trip",
    title="CRAC 2 trips and stops",
    alarms=("CRAC fault", "Rack inlet high"),
    procedure="EOP-CRAC-01",
)
def _crac_2_trip(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.crac_tripped[_index(facility, "crac", "crac-2")] = True


@fault(
    "crac-1-fan-degraded",
    title="CRAC 1 fan drive is limited to 45 %",
    alarms=("CRAC fault",),
    procedure="EOP-CRAC-01",
)
def _crac_1_fan_degraded(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.crac_fan_limit[_index(facility, "crac", "crac-1")] = 0.45


@fault(
    "crac-3-filter-clog",
    title="CRAC 3 filter is clogged",
    alarms=("CRAC filter loaded",),
    procedure="MOP-CRAC-02",
)
def _crac_3_filter_clog(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.crac_filter_resistance[_index(facility, "crac", "crac-3")] = 9.0


@fault(
    "chwp-1-trip",
    title="Chilled water pump 1 trips",
    alarms=("Chilled water pump fault",),
    procedure="EOP-CHW-01",
)
def _chwp_1_trip(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.pump_tripped[_index(facility, "pump", "chwp-1")] = True


@fault(
    "chiller-1-trip",
    title="Chiller 1 trips",
    alarms=("Chiller fault",),
    procedure="EOP-CHW-02",
)
def _chiller_1_trip(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.chiller_tripped[_index(facility, "chiller", "chiller-1")] = True


@fault(
    "utility-loss",
    title="The utility feed is lost",
    alarms=("Utility lost", "UPS on battery"),
    procedure="EOP-UPS-01",
)
def _utility_loss(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.utility_available = False


@fault(
    "pdu-a1-breaker-trip",
    title="PDU A1 main breaker opens",
    alarms=("PDU breaker open",),
    procedure="EOP-PDU-01",
)
def _pdu_a1_breaker_trip(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.pdu_breaker_open[_index(facility, "pdu", "pdu-a1")] = True


@fault(
    "leak-hall-1",
    title="Water under the floor of hall 1",
    alarms=("Water leak",),
    procedure="EOP-LEAK-01",
)
def _leak_hall_1(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.leak = True


@fault(
    "gpu-heatsink-fouled",
    title="Server 05 GPU 3 has a fouled heat sink",
    alarms=("GPU hot",),
    procedure="EOP-GPU-01",
)
def _gpu_heatsink_fouled(conditions: Conditions, facility: FacilitySpec) -> None:
    conditions.gpu_resistance[_index(facility, "gpu", "srv-05-gpu-3")] = 2.2


@fault(
    "link-degraded",
    title="Link leaf 2 to spine 1 has symbol errors and runs at half capacity",
    alarms=("Link errors",),
    procedure="EOP-NET-01",
)
def _link_degraded(conditions: Conditions, facility: FacilitySpec) -> None:
    link = _index(facility, "link", "link-leaf-2-spine-1")
    conditions.link_capacity[link] = 0.5
    conditions.link_errors[link] = 180.0


@fault(
    "fire-panel-trouble",
    title="The fire panel reports trouble",
    alarms=("Fire panel trouble",),
    procedure="EOP-FIRE-01",
)
def _fire_panel_trouble(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.fire_trouble = True


@fault(
    "sensor-stuck",
    title="The return air probe of CRAC 1 shows one value for ever",
    flags=("flat_line",),
)
def _sensor_stuck(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.instruments["crac-1.return_c"] = "stuck"


@fault(
    "sensor-drift",
    title="The header probe of chiller 1 drifts by 0.6 °C a minute",
    flags=("redundancy", "drift"),
)
def _sensor_drift(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.instruments["chiller-1.supply_c"] = "drift"


@fault(
    "sensor-spikes",
    title="The inlet probe of rack 1-05 has a loose contact",
    flags=("stream",),
)
def _sensor_spikes(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.instruments["rack-1-05.inlet_c"] = "spikes"


@fault(
    "sensor-silent",
    title="The inlet probe of rack 2-06 sends nothing",
    flags=("gap",),
)
def _sensor_silent(conditions: Conditions, _facility: FacilitySpec) -> None:
    conditions.instruments["rack-2-06.inlet_c"] = "silent"
