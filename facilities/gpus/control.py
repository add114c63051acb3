"""The control loop of a GPU from its live readings: what the model makes of it, what would help."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Final

from facilities.models import Asset, LatestReading
from facilities.models.asset import AssetKind, LinkKind
from facilities.twin.gpu import GpuConstants
from facilities.twin.gpu.limits import IDLE_UTIL, Limits
from facilities.twin.gpu.loop import Case, ControlLoop, Trace
from facilities.twin.gpu.nvml import LIMITING, REASONS
from facilities.twin.site import AssetRecord

from .read import GpuRow

DURATION_S: Final = 120.0
DT_S: Final = 0.1
DEFAULT_INLET_C: Final = 22.0
"""Inlet air where none is read (assumed)."""

RESISTANCE: Final = (0.3, 5.0)
SCALE: Final = (0.5, 1.5)
BEST_RESISTANCE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the GPU's heat sink stands in."""

    medium_c: float
    medium: str
    """Which point that is; empty where it is assumed."""
    fan: float | None
    liquid: bool
    limit_w: float
    """Power limit in force: what the GPU has set, within what the rack's load cap leaves it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The model put onto this GPU's readings."""

    util: float
    power_scale: float
    resistance: float
    """Thermal resistance times that of a new part of this model."""
    sink_k_per_w: float
    die_k_per_w: float
    board_w: float
    switching_w: float
    leakage_w: float
    volts: float


@dataclass(frozen=True)
class Outcome:
    """One case of the loop in its steady half."""

    key: str
    name: str
    note: str
    throughput_pct: float | None
    """Of the top clock; None for a GPU without work."""
    gain_pct: float | None
    """Throughput against leaving everything as it is, percent points."""
    temp_c: float
    power_w: float
    saved_w: float
    work_per_joule_pct: float | None
    """Against leaving everything as it is, percent."""
    limits: dict[str, float] = field(default_factory=dict)
    """Share of the time by reason label."""


@dataclass(frozen=True)
class Control:
    """The answer for one GPU."""

    gpu: GpuRow
    around: Surroundings
    fit: Fit
    outcomes: list[Outcome]
    trace: Trace
    throttles_from_c: float
    """Inlet (or water) temperature at which the software thermal limit begins at this load."""


def surroundings(*, gpu: GpuRow) -> Surroundings:
    """Air before the GPU's rack and its server's fans, or the water of its cold plate.

    Three queries. A rack with ``liquid_fraction`` is cooled by the CDU that links to it.
    """
    rack = Asset.objects.filter(tag=gpu.rack).first() if gpu.rack else None
    liquid = bool(rack is not None and float(rack.attributes.get("liquid_fraction") or 0) > 0)
    tags = [f"{gpu.rack}.inlet_c", f"{gpu.server}.inlet_c", f"{gpu.server}.fan_pct"]
    tags.append(f"{gpu.rack}.load_cap_pct")
    if liquid and rack is not None:
        water = Asset.objects.filter(
            kind=AssetKind.CDU, links_out__target=rack, links_out__kind=LinkKind.COOLING
        ).values_list("tag", flat=True)
        tags = [*(f"{tag}.supply_c" for tag in water), *tags]
    latest = dict(
        LatestReading.objects.filter(point__tag__in=tags).values_list("point__tag", "value")
    )
    fan = latest.get(f"{gpu.server}.fan_pct")
    medium = next((tag for tag in tags if tag.endswith("_c") and tag in latest), "")
    return Surroundings(
        medium_c=latest[medium] if medium else DEFAULT_INLET_C,
        medium=medium,
        fan=None if fan is None else min(max(fan / 100.0, 0.05), 1.0),
        liquid=liquid and medium.endswith(".supply_c"),
        limit_w=min(
            gpu.limit_w, gpu.device.max_w * latest.get(f"{gpu.rack}.load_cap_pct", 100) / 100
        ),
    )


def fit(*, gpu: GpuRow, around: Surroundings, parameters: GpuConstants) -> Fit:
    """Activity and thermal resistance such that the model shows what the instruments show.

    With nothing read, the model's own figures for a busy GPU stand in.
    """
    loop = ControlLoop(_record(gpu), [Case("", around.medium_c)], parameters=parameters)
    limits, layout, device = loop.limits, loop.layout, gpu.device
    util = 0.8 if gpu.util_pct is None else min(max(gpu.util_pct / 100.0, 0.0), 1.0)
    # what the driver says, or the top clock where nobody says anything
    clock = gpu.sm_clock_mhz or device.max_clock_mhz
    clock = min(max(clock, device.idle_clock_mhz), device.max_clock_mhz)
    temp = gpu.temp_c if gpu.temp_c is not None else around.medium_c + 40.0
    volts = float(layout.tables.volts(layout.max_clock * 0.0 + clock)[0])
    board = float(limits.board_w[0])
    leak = float(limits.leakage(layout.max_clock * 0.0 + temp)[0]) * volts
    model = float(limits.activity(layout.max_clock * 0.0 + util)[0]) * volts**2 * clock
    scale = 1.0
    if gpu.power_w is not None and model > 0:
        scale = min(max((gpu.power_w - board - leak) / model, SCALE[0]), SCALE[1])
    switching = model * scale
    power = board + leak + switching if gpu.power_w is None else gpu.power_w
    die, sink = _resistances(parameters, around)
    resistance = 1.0
    if gpu.temp_c is not None and power > device.idle_w:
        rise = max(gpu.temp_c - around.medium_c, 0.0)
        resistance = min(max(rise / (power * (die + sink)), RESISTANCE[0]), RESISTANCE[1])
    return Fit(
        util=util,
        power_scale=scale,
        resistance=resistance,
        sink_k_per_w=sink * resistance,
        die_k_per_w=die * resistance,
        board_w=board,
        switching_w=switching,
        leakage_w=leak,
        volts=volts,
    )


def _record(gpu: GpuRow) -> AssetRecord:
    """The GPU as the loop takes it; with the default device where the data list's line is wrong."""
    return AssetRecord(gpu.tag, "gpu", attributes={} if gpu.problem else gpu.attributes)


def _resistances(
    p: GpuConstants, around: Surroundings, fan: float | None = None
) -> tuple[float, float]:
    """Die and sink (or plate) of a new part, K/W."""
    if around.liquid:
        return float(p.die_k_per_w), float(p.plate_k_per_w)
    speed = fan if fan is not None else around.fan or float(p.fan_reference)
    share = math.sqrt(float(p.fan_reference) / max(speed, 0.05))
    return float(p.die_k_per_w), float(p.sink_k_per_w) * share


def gpu_control(
    *,
    gpu: GpuRow,
    duration_s: float = DURATION_S,
    inlet_c: float | None = None,
    power_limit_w: float | None = None,
    fan_pct: float | None = None,
    util_pct: float | None = None,
) -> Control:
    """Run the loop from the live readings, as it is and with each remedy.

    The last four arguments make one more case, "yours". Three queries; about 0.2 s for 120 s.
    """
    parameters = GpuConstants()
    around = surroundings(gpu=gpu)
    found = fit(gpu=gpu, around=around, parameters=parameters)
    parameters = parameters.replaced(power_scale=found.power_scale)
    start = {
        name: value
        for name, value in (
            ("temp_c", gpu.temp_c),
            ("power_w", gpu.power_w),
            ("clock_mhz", gpu.sm_clock_mhz),
            ("fan", around.fan),
        )
        if value is not None
    }
    base = Case(
        "As it is",
        inlet_c=around.medium_c,
        util=found.util,
        power_limit_w=around.limit_w,
        # the readings say how fast its fans turn; the BMC's law is a model
        fan=around.fan,
        resistance=found.resistance,
        brake="hw_power_brake" in [REASONS[reason].label for reason in gpu.reasons],
        liquid=around.liquid,
        start=start,
    )
    asked = _asked(base, inlet_c, power_limit_w, fan_pct, util_pct)
    cases = [("now", "", base), *_remedies(base, gpu)]
    if asked is not None:
        cases.append(("yours", "what you set", asked))
    loop = ControlLoop(_record(gpu), [case for _, _, case in cases], parameters=parameters)
    trace = loop.run(duration_s, dt_s=DT_S, every_s=max(DT_S, duration_s / 240))
    return Control(
        gpu=gpu,
        around=around,
        fit=found,
        outcomes=_outcomes(cases, trace, after_s=duration_s / 2),
        trace=trace,
        throttles_from_c=_throttles_from(gpu, around, found, parameters, loop.limits),
    )


def _asked(
    base: Case,
    inlet_c: float | None,
    power_limit_w: float | None,
    fan_pct: float | None,
    util_pct: float | None,
) -> Case | None:
    if inlet_c is None and power_limit_w is None and fan_pct is None and util_pct is None:
        return None
    return _with(
        base,
        "Yours",
        inlet_c=base.inlet_c if inlet_c is None else inlet_c,
        power_limit_w=base.power_limit_w if power_limit_w is None else power_limit_w,
        fan=base.fan if fan_pct is None else fan_pct / 100.0,
        util=base.util if util_pct is None else util_pct / 100.0,
    )


def _with(base: Case, name: str, **changes: Any) -> Case:
    return replace(base, name=name, **changes)


def _remedies(base: Case, gpu: GpuRow) -> list[tuple[str, str, Case]]:
    """Key, note and case of what an operator could do."""
    device, limit_w = gpu.device, base.power_limit_w or gpu.device.max_w
    cooler = "water" if base.liquid else "inlet"
    remedies = [
        (
            "cooler",
            "lower the supply setpoint or start a standby unit",
            _with(base, f"2 K cooler {cooler}", inlet_c=base.inlet_c - 2.0),
        )
    ]
    if not base.liquid and (base.fan is None or base.fan < 0.99):
        remedies.append(
            ("fans", "override the BMC's fan curve", _with(base, "Fans at 100 %", fan=1.0))
        )
    if base.resistance > BEST_RESISTANCE * 1.05:
        remedies.append(
            (
                "paste",
                "clean the heat sink, renew the thermal paste",
                _with(base, "Heat path as new", resistance=BEST_RESISTANCE),
            )
        )
    raised = min(device.max_w, limit_w + 100.0)
    if raised > limit_w:
        remedies.append(
            (
                "raise",
                "if rack and feed allow it",
                _with(base, f"Power limit {raised:.0f} W", power_limit_w=raised),
            )
        )
    for share in (0.9, 0.75):
        # only a limit below what it draws does anything
        limit = round((gpu.power_w or device.max_w) * share / 10) * 10.0
        if device.min_limit_w <= limit < limit_w:
            remedies.append(
                (
                    f"cap{limit:.0f}",
                    "less heat and power for a little work",
                    _with(base, f"Power limit {limit:.0f} W", power_limit_w=limit),
                )
            )
    return remedies


def _outcomes(cases: list[tuple[str, str, Case]], trace: Trace, *, after_s: float) -> list[Outcome]:
    speed = trace.mean("clock_mhz", after_s=after_s) / trace.device.max_clock_mhz * 100.0
    temp, power = trace.mean("temp_c", after_s=after_s), trace.mean("power_w", after_s=after_s)
    shares = {reason: trace.share(reason, after_s=after_s) for reason in LIMITING}
    efficiency = speed / power
    works = [case.util >= IDLE_UTIL for _, _, case in cases]
    return [
        Outcome(
            key=key,
            name=case.name,
            note=note,
            throughput_pct=float(speed[place]) if works[place] else None,
            gain_pct=float(speed[place] - speed[0]) if works[place] and works[0] else None,
            temp_c=float(temp[place]),
            power_w=float(power[place]),
            saved_w=float(power[0] - power[place]),
            work_per_joule_pct=(
                float((efficiency[place] / efficiency[0] - 1.0) * 100.0)
                if works[place] and works[0]
                else None
            ),
            limits={
                REASONS[reason].label: round(float(share[place]), 4)
                for reason, share in shares.items()
                if share[place] > 0
            },
        )
        for place, (key, note, case) in enumerate(cases)
    ]


def _throttles_from(
    gpu: GpuRow, around: Surroundings, found: Fit, p: GpuConstants, limits: Limits
) -> float:
    """Medium temperature at which the die reaches maximum operating, fans as the BMC then runs
    them.
    """
    device = gpu.device
    fan = float(p.fan_low) + (device.max_op_c - float(p.fan_start_c)) * float(p.fan_per_k)
    die, sink = _resistances(p, around, min(fan, 1.0))
    one = limits.layout.max_clock
    activity = limits.activity(one * 0.0 + found.util)
    leakage = limits.leakage(one * 0.0 + device.max_op_c)
    power = float(limits.power(one, activity, leakage)[0])
    power = min(power, around.limit_w)
    return device.max_op_c - power * (die + sink) * found.resistance
