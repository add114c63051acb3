"""All that the platform can do to the plant. What is not here cannot be proposed."""

from __future__ import annotations

from approvals.catalogue.base import (
    Action,
    ActionKind,
    Checked,
    Condition,
    Expectation,
    Target,
    Write,
    check_conditions,
)
from approvals.catalogue.cordon_node import CordonNode, UncordonNode
from approvals.catalogue.disable_link import DisableLink, EnableLink
from approvals.catalogue.drain_node import DrainNode
from approvals.catalogue.migrate_rack_load import MigrateRackLoad
from approvals.catalogue.open_work_order import OpenWorkOrder
from approvals.catalogue.reading import action_read
from approvals.catalogue.reset_node import ResetNode
from approvals.catalogue.restore_rack_load import RestoreRackLoad
from approvals.catalogue.return_node import ReturnNode
from approvals.catalogue.return_ups_from_bypass import ReturnUpsFromBypass
from approvals.catalogue.roll_back import RollBack
from approvals.catalogue.run_procedure import RunProcedure
from approvals.catalogue.set_chilled_water_setpoint import SetChilledWaterSetpoint
from approvals.catalogue.set_damper import SetDamper
from approvals.catalogue.set_fan_speed import SetFanSpeed
from approvals.catalogue.set_gpu_power_cap import SetGpuPowerCap
from approvals.catalogue.set_supply_setpoint import SetSupplySetpoint
from approvals.catalogue.shed_rack_load import ShedRackLoad
from approvals.catalogue.start_standby_crac import StartStandbyCrac
from approvals.catalogue.start_standby_unit import StartStandbyUnit
from approvals.catalogue.stop_unit import StopUnit
from approvals.catalogue.transfer_ups_to_bypass import TransferUpsToBypass

_SINGLE: tuple[ActionKind, ...] = (
    StartStandbyCrac(),
    SetFanSpeed(),
    SetSupplySetpoint(),
    ShedRackLoad(),
    RestoreRackLoad(),
    MigrateRackLoad(),
    StartStandbyUnit(),
    StopUnit(),
    SetChilledWaterSetpoint(),
    SetDamper(),
    TransferUpsToBypass(),
    ReturnUpsFromBypass(),
    SetGpuPowerCap(),
    DrainNode(),
    ReturnNode(),
    CordonNode(),
    UncordonNode(),
    ResetNode(),
    DisableLink(),
    EnableLink(),
    OpenWorkOrder(),
)

KINDS: dict[str, ActionKind] = {
    kind.name: kind
    for kind in (
        *_SINGLE,
        RunProcedure(point for kind in _SINGLE for point in kind.points),
        RollBack(),
    )
}

__all__ = [
    "KINDS",
    "Action",
    "ActionKind",
    "Checked",
    "Condition",
    "Expectation",
    "Target",
    "Write",
    "action_read",
    "check_conditions",
]
