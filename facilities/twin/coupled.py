"""The coupled twin: network → GPUs → power → air and water, one step after another.

A slow link leaves GPUs waiting, that lowers their power, power becomes heat, heat becomes inlet
temperature, and the GPUs' controllers answer it in the next step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self, TypeVar

import numpy as np

from .constants import Constant, Constants
from .drive import Drive
from .gpu import Gpu, GpuConstants, GpuState
from .network import Network, NetworkConstants, NetworkState
from .power import Power, PowerConstants, PowerState
from .readings import healthy, placed, to_drive
from .schedule import Schedule
from .site import Floats, Site
from .state import Key, PartState, Values
from .thermal import Thermal, ThermalConstants, ThermalState
from .told import Told
from .trajectory import Recorder, Trajectory

Part = TypeVar("Part", bound=Constants)

SETTLE_STEP_S = 15.0
SETTLE_STEPS = 160
SETTLED_K = 0.002
"""A site is settled when no rack, room or water moves by more than this in a settling step."""


@dataclass(frozen=True)
class Parameters:
    """The constants of every part."""

    thermal: ThermalConstants = field(default_factory=ThermalConstants)
    power: PowerConstants = field(default_factory=PowerConstants)
    gpu: GpuConstants = field(default_factory=GpuConstants)
    network: NetworkConstants = field(default_factory=NetworkConstants)

    def drawn(self, size: int, rng: np.random.Generator, *, skip: int = 1) -> Parameters:
        """Constants that vary by member; the first ``skip`` members keep their values."""
        return Parameters(
            thermal=self.thermal.drawn(size, rng, skip=skip),
            power=self.power.drawn(size, rng, skip=skip),
            gpu=self.gpu.drawn(size, rng, skip=skip),
            network=self.network.drawn(size, rng, skip=skip),
        )

    def tiled(self, variants: int) -> Parameters:
        """Draws of (members, 1) repeated for each variant: every variant has the same draws."""
        return Parameters(
            thermal=_tiled(self.thermal, variants),
            power=_tiled(self.power, variants),
            gpu=_tiled(self.gpu, variants),
            network=_tiled(self.network, variants),
        )

    def listed(self) -> dict[str, list[Constant]]:
        """Every constant with its source, by part."""
        return {name: part.listed() for name, part in self._parts().items()}

    def _parts(self) -> dict[str, Constants]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass
class TwinState:
    """State of every part."""

    thermal: ThermalState
    power: PowerState
    gpu: GpuState
    network: NetworkState

    @property
    def members(self) -> int:
        """Length of the ensemble axis."""
        return self.thermal.members

    def repeated(self, members: int) -> TwinState:
        """A copy with ``members`` members, each a copy of the first."""
        return TwinState(**{name: getattr(self, name).repeated(members) for name in _PARTS})

    def copied(self) -> TwinState:
        """A copy that shares no array; members stay as they are."""
        return TwinState.from_arrays(self.to_arrays())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every array by ``part.field``, for storing."""
        return {
            f"{name}.{key}": value
            for name in _PARTS
            for key, value in getattr(self, name).to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of ``to_arrays``. Raises ``KeyError`` for a missing array."""
        parts: dict[str, Any] = {}
        for name, kind in _PARTS.items():
            prefix = f"{name}."
            parts[name] = kind.from_arrays(
                {
                    key.removeprefix(prefix): value
                    for key, value in arrays.items()
                    if key.startswith(prefix)
                }
            )
        return cls(**parts)


_PARTS: Final[dict[str, type[PartState]]] = {
    "thermal": ThermalState,
    "power": PowerState,
    "gpu": GpuState,
    "network": NetworkState,
}


class Balance(NamedTuple):
    """Heat and electricity of the last step by member, W; errors are relative to what came in."""

    heat_in_w: Floats
    heat_out_w: Floats
    heat_stored_w: Floats
    heat_error: Floats
    electric_error: Floats

    @property
    def worst(self) -> float:
        """The larger of the two relative errors, over all members."""
        return float(max(np.abs(self.heat_error).max(), np.abs(self.electric_error).max()))


class Twin:
    """Physics of a site. Reads of it are free of side effects; ``step`` changes the state given."""

    def __init__(self, site: Site, parameters: Parameters | None = None) -> None:
        self.site = site
        self.parameters = p = parameters or Parameters()
        self.network = Network(site, p.network)
        self.gpu = Gpu(site, p.gpu)
        self.power = Power(site, p.power)
        self.thermal = Thermal(site, p.thermal)
        server_rack = site.within("server", "rack")
        self._server_rack = np.maximum(server_rack, 0)
        racks = site.count("rack")
        self._rack_server = np.zeros((site.count("server"), racks))
        placed_servers = np.flatnonzero(server_rack >= 0)
        self._rack_server[placed_servers, server_rack[placed_servers]] = 1.0
        self._other_flow = 1.0 / (
            p.thermal.air_density_kg_m3 * p.thermal.air_cp_j_kgk * p.thermal.other_rise_k
        )
        layout = self.thermal.layout
        cdu = np.full(racks, -1, dtype=np.int64)
        cdu[layout.liquid] = layout.liquid_cdu
        self._server_cdu = cdu[self._server_rack] if racks else np.zeros(0, dtype=np.int64)
        liquid = self._server_cdu >= 0
        self._any_liquid = bool(liquid.any())
        self._no_coolant = np.where(liquid, 0.0, np.nan)[None]

    def with_parameters(self, parameters: Parameters) -> Twin:
        """The same site with other constants."""
        return Twin(self.site, parameters)

    # state

    def initial(self, drive: Drive) -> TwinState:
        """Steady state for the drive: stepped until nothing moves any more.

        Where the drive has no steady state (all cooling lost), what 40 minutes lead to.
        """
        state = TwinState(
            thermal=self.thermal.initial(drive),
            power=self.power.initial(drive),
            gpu=self.gpu.initial(drive),
            network=self.network.initial(drive),
        )
        thermal = state.thermal
        for number in range(SETTLE_STEPS):
            before = thermal.inlet_c, thermal.outlet_c, thermal.room_c, thermal.water_return_c
            self.step(state, drive, SETTLE_STEP_S)
            if number % 5 == 4:
                self.thermal.settle(thermal, drive)
                after = thermal.inlet_c, thermal.outlet_c, thermal.room_c, thermal.water_return_c
                moved = (np.abs(a - b).max(initial=0.0) for a, b in zip(after, before, strict=True))
                if number > 20 and max(moved) < SETTLED_K:
                    break
        return state

    def observe(
        self, readings: Mapping[str, float], drive: Drive | None = None
    ) -> tuple[TwinState, Drive]:
        """State and drive that agree with what instruments say, by tag.

        Commands, weather and faults that have a reading go into the drive (a copy of the one
        given), measured quantities into the state; what nothing measures is that of the settled
        healthy site. Tags of other points are ignored.
        """
        known = placed(self.site, readings)
        drive = (drive or Drive(self.site)).repeated(1)
        to_drive(self.thermal, drive, known)
        util = known.get(("gpu", "util_pct"))
        if util is not None:
            # a slow link must not be taken for low demand
            network = self.network.initial(drive)
            self.network.observe(network, known)
            unthrottled = np.ones((1, self.site.count("gpu")))
            self.network.step(network, drive, gpu_speed=unthrottled, dt_s=1.0)
            asked = self.network.demanded(network, np.nan_to_num(util) / 100.0)
            drive.values["gpu", "demand"] = np.where(
                np.isfinite(util), asked, drive["gpu", "demand"]
            )
        state = self.initial(healthy(drive))
        self.thermal.observe(state.thermal, known)
        self.power.observe(state.power, known)
        self.gpu.observe(state.gpu, known)
        self.network.observe(state.network, known)
        self.network.step(state.network, drive, gpu_speed=state.gpu.speed, dt_s=1.0)
        return state, drive

    # time

    def commands(self, drive: Drive) -> Told:
        """What a step needs of the drive; hand it to ``step`` for as long as the drive stays."""
        return Told(
            self.network.commands(drive),
            self.gpu.commands(drive),
            self.power.commands(drive),
            self.thermal.commands(drive),
        )

    def step(
        self, state: TwinState, drive: Drive, dt_s: float, *, told: Told | None = None
    ) -> None:
        """Advance by ``dt_s``, 1…15 s. The state changes in place.

        ``told`` is ``commands(drive)``, for a drive that stays the same for many steps.
        """
        k = told or self.commands(drive)
        thermal, power, gpu = state.thermal, state.power, state.gpu
        self.network.step(state.network, drive, gpu_speed=gpu.speed, dt_s=dt_s, told=k.network)
        inlet_c = thermal.inlet_c.take(self._server_rack, axis=1)
        coolant_c = coolant_flow = None
        if self._any_liquid:
            coolant_c = thermal.cdu_supply_c.take(self._server_cdu, axis=1)
            coolant_c += self._no_coolant
            coolant_flow = thermal.cdu_speed.take(self._server_cdu, axis=1)
        self.gpu.step(
            gpu,
            drive,
            util=state.network.gpu_util,
            inlet_c=inlet_c,
            powered=power.rack_on.take(self._server_rack, axis=1),
            dt_s=dt_s,
            coolant_c=coolant_c,
            coolant_flow=coolant_flow,
            told=k.gpu,
        )
        self.power.step(
            power,
            drive,
            server_w=gpu.server_w,
            mechanical_w=self.thermal.mechanical_w(thermal),
            dt_s=dt_s,
            told=k.power,
        )
        servers_w = gpu.server_w @ self._rack_server
        airflow = gpu.airflow_m3s @ self._rack_server
        airflow += np.maximum(power.rack_w - servers_w, 0.0) * self._other_flow
        self.thermal.step(
            thermal,
            drive,
            rack_w=power.rack_w,
            rack_airflow_m3s=airflow,
            loss_w=power.loss_w,
            powered=power.powered,
            dt_s=dt_s,
            told=k.thermal,
        )

    def balance(self, state: TwinState) -> Balance:
        """Heat and electricity of the last step."""
        heat, electric = state.thermal, self.power.balance(state.power)
        in_w, out_w = heat.heat_in_w[:, 0], heat.heat_out_w[:, 0]
        stored_w = heat.heat_stored_w[:, 0]
        scale = np.maximum(np.maximum(in_w, np.abs(out_w)), 1.0)
        return Balance(in_w, out_w, stored_w, (in_w - out_w - stored_w) / scale, electric.error)

    def values(self, state: TwinState, drive: Drive, keys: Iterable[Key] | None = None) -> Values:
        """Every quantity the parts compute, by (kind, quantity); or at least those of ``keys``.

        Arrays may be those of the state: copy what has to outlive the next step.
        """
        wanted = None if keys is None else set(keys)
        values: Values = {}
        values.update(self.network.values(state.network, drive, wanted))
        values.update(self.gpu.values(state.gpu, drive, wanted))
        values.update(self.power.values(state.power, drive, wanted))
        values.update(self.thermal.values(state.thermal, drive, wanted))
        if wanted is None or ("server", "inlet_c") in wanted:
            values["server", "inlet_c"] = state.thermal.inlet_c.take(self._server_rack, axis=1)
        return values

    def run(
        self,
        state: TwinState,
        drive: Drive,
        schedule: Schedule,
        *,
        duration_s: float,
        dt_s: float = 5.0,
        record: Iterable[Key] | None = None,
        every_s: float = 10.0,
        variants: int = 1,
        progress: Callable[[float], None] | None = None,
    ) -> Trajectory:
        """Simulate ``duration_s`` from a state; neither state nor drive are changed.

        One state is repeated for ``variants``; else the members are ``variants`` equal groups.
        ``record`` names what to keep (all by default), every ``every_s``; ``progress`` is called
        with the share done. Raises ``SiteError`` for a bad schedule, ``ValueError`` for sizes that
        do not fit, ``KeyError`` for a quantity that is not computed.
        """
        members = max(state.members, drive.members, variants)
        if members % variants or {state.members, drive.members} - {1, members}:
            raise ValueError(
                f"{state.members} states and {drive.members} drives do not make {variants} equal "
                "variants; give one of each, or as many as variants x draws"
            )
        schedule.check(self.site)
        state = state.copied() if state.members == members else state.repeated(members)
        drive = drive.copied() if drive.members == members else drive.repeated(members)
        follower = schedule.follow(drive, variants=variants)
        steps = max(1, round(duration_s / dt_s))
        thin = max(1, round(every_s / dt_s))
        keys = None if record is None else tuple(record)
        values = self.values(state, drive, keys)
        recorder = Recorder(keys or values, steps // thin + 2)
        recorder.record(0.0, values)
        closure, told = 0.0, None
        heats: list[tuple[Floats, Floats, Floats]] = []
        thermal = state.thermal
        for number in range(1, steps + 1):
            if follower.advance((number - 1) * dt_s) or told is None:
                told = self.commands(drive)
            self.step(state, drive, dt_s, told=told)
            heats.append((thermal.heat_in_w, thermal.heat_out_w, thermal.heat_stored_w))
            if number % thin == 0 or number == steps:
                electric = self.power.balance(state.power).error
                closure = max(closure, _heat_error(heats), float(np.abs(electric).max()))
                heats.clear()
                recorder.record(number * dt_s, self.values(state, drive, keys))
                if progress is not None:
                    progress(number / steps)
        return recorder.trajectory(self.site, variants=variants, closure=closure)


def _heat_error(heats: list[tuple[Floats, Floats, Floats]]) -> float:
    """Largest relative error of the heat balances of some steps, over all members."""
    came, left, stored = np.array(heats).swapaxes(0, 1)
    return float((np.abs(came - left - stored) / np.maximum(came, 1.0)).max())


def _tiled(part: Part, variants: int) -> Part:
    changes: dict[str, Any] = {
        item.name: np.tile(value, (variants, 1))
        for item in dataclasses.fields(part)
        if isinstance(value := getattr(part, item.name), np.ndarray)
        and value.ndim == 2
        and len(value) > 1
    }
    return part.replaced(**changes)
