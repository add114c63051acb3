"""The control loop in its own time, the priority gate, and what limits cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facilities.twin.gpu.devices import DEVICES
from facilities.twin.gpu.loop import Case, ControlLoop, LoopConstants, Trace
from facilities.twin.gpu.nvml import (
    FIELDS,
    LIMITING,
    PRIORITY,
    REASON_TIMERS,
    THRESHOLDS,
    XIDS,
    Reason,
    decode,
    in_charge,
)
from facilities.twin.gpu.performance import FELL_OFF, gate, lost, throughput
from facilities.twin.site import AssetRecord

from .test_gpu import Bench, site

ASSET = AssetRecord("gpu", "gpu", attributes={"model": "h100-sxm"})


def run(*cases: Case, seconds: float = 240.0, dt_s: float = 0.1) -> Trace:
    return ControlLoop(ASSET, cases).run(seconds, dt_s=dt_s, every_s=0.5)


# Both time scales


AGREE = [
    Case("unlimited", 22.0, 0.8),
    Case("capped at 500 W", 22.0, 1.0, power_limit_w=500.0),
    Case("capped at 300 W", 30.0, 0.9, power_limit_w=300.0),
    Case("hot air", 56.0, 0.8),
    Case("hotter air", 64.0, 0.9),
    Case("old paste", 32.0, 0.8, resistance=2.1),
    Case("power brake", 22.0, 1.0, brake=True),
]


def test_both_time_scales_agree_on_averages():
    trace = run(*AGREE, seconds=300.0)
    power, temp = trace.mean("power_w", after_s=180), trace.mean("temp_c", after_s=180)
    clock = trace.mean("clock_mhz", after_s=180)
    for place, case in enumerate(AGREE):
        bench = Bench(site())
        if case.power_limit_w:
            bench.drive.set("srv-0-gpu-0", "power_limit_w", case.power_limit_w)
        bench.drive.set("srv-0-gpu-0", "thermal_resistance", case.resistance)
        bench.drive.set("srv-0", "power_brake", float(case.brake))
        state = bench.run(inlet_c=case.inlet_c, util=case.util, seconds=900)
        assert power[place] == pytest.approx(state.power_w[0, 0], rel=0.03), case.name
        assert temp[place] == pytest.approx(state.temp_c[0, 0], abs=1.0), case.name
        assert clock[place] == pytest.approx(state.clock_mhz[0, 0], rel=0.03), case.name


def test_they_agree_on_what_a_hardware_slowdown_leaves():
    """A load step on bad paste: hardware and software share the work for half a minute."""
    bench = Bench(site())
    bench.drive.set("srv-0-gpu-0", "thermal_resistance", 3.0)
    bench.run(inlet_c=25.0, util=0.05, seconds=600)
    start = {
        "temp_c": float(bench.state.temp_c[0, 0]),
        "power_w": float(bench.state.power_w[0, 0]),
        "fan": float(bench.state.fan[0, 0]),
    }
    trace = run(Case("step", 40.0, 1.0, resistance=3.0, start=start), seconds=30.0, dt_s=0.02)
    steps = []
    for _ in range(6):
        bench.run(inlet_c=40.0, util=1.0, seconds=5)
        state = bench.state
        steps.append([float(part[0, 0]) for part in (state.power_w, state.clock_mhz, state.held)])
    power, clock, held = np.mean(steps, axis=0)
    assert held > 0.1
    assert trace.mean("held")[0] > 0.1
    assert power == pytest.approx(trace.mean("power_w")[0], rel=0.08)
    assert clock == pytest.approx(trace.mean("clock_mhz")[0], rel=0.08)


# What the loop shows


def test_it_steps_down_linearly_to_the_power_limit():
    start = {"clock_mhz": 1980.0, "temp_c": 60.0, "power_w": 600.0}
    trace = run(Case("cap", 22.0, 1.0, power_limit_w=450.0, start=start), seconds=20.0)
    clock = trace.of("power_clock_mhz")
    falling = np.diff(clock[:8])
    step = DEVICES["h100-sxm"].step_mhz
    per_sample = step * 0.5 / LoopConstants().power_period_s
    assert (falling <= 0).all()
    assert falling.min() >= -per_sample - step
    assert trace.mean("average_w", after_s=10)[0] <= 450.0 * 1.02
    assert np.allclose(clock % step, 0)


def test_it_cuts_the_clock_to_half_at_once_and_lets_go_with_hysteresis():
    start = {"temp_c": 88.5, "clock_mhz": 1980.0, "power_w": 690.0, "fan": 0.3}
    case = Case("hot", 35.0, 1.0, fan=0.3, resistance=1.6, start=start)
    trace = ControlLoop(ASSET, [case]).run(30.0, dt_s=0.02, every_s=0.02)
    held, clock, sensed = trace.of("held") > 0, trace.of("clock_mhz"), trace.of("sensed_c")
    assert held.any() and not held.all()
    assert clock[held].max() <= 990.0
    released = np.flatnonzero(held[:-1] & ~held[1:])
    assert (sensed[released + 1] <= 89.0 - 3.0 + 0.5).all()


def test_a_lagging_sensor_makes_it_hunt():
    prompt, lagging = (
        Case("prompt", 64.0, 0.9),
        Case("lagging", 64.0, 0.9, sensor_tau_s=10.0, sensor_delay_s=5.0),
    )
    trace = run(prompt, lagging, seconds=400.0)
    late = trace.times_s > 200
    swing = np.ptp(trace.series["power_w"][late], axis=0)
    assert swing[0] < 40.0
    assert swing[1] > 5 * max(swing[0], 10.0)
    assert trace.share(Reason.HW_THERMAL_SLOWDOWN, after_s=200)[1] > 0.1
    assert trace.share(Reason.HW_THERMAL_SLOWDOWN, after_s=200)[0] == 0
    worked = trace.mean("clock_mhz", after_s=200)
    assert worked[1] < worked[0]  # hunting costs work


def test_training_steps_swing_the_power_but_the_average_carries_the_limit():
    trace = run(Case("bursts", 22.0, 0.6, burst_s=2.0, power_limit_w=400.0), seconds=120.0)
    late = trace.times_s > 60
    assert np.ptp(trace.series["power_w"][late]) > 200
    assert trace.mean("average_w", after_s=60)[0] <= 400.0 * 1.05


def test_a_fixed_fan_stays_and_more_fan_cools():
    trace = run(Case("half", 30.0, fan=0.5), Case("full", 30.0, fan=1.0), seconds=120.0)
    assert (trace.of("fan", 1) == 1.0).all()
    temp = trace.mean("temp_c", after_s=60)
    assert temp[1] < temp[0] - 5


def test_an_idle_gpu_rests():
    trace = run(Case("idle", 22.0, 0.0), seconds=60.0)
    assert trace.of("clock_mhz")[-1] == 345.0
    assert trace.of("power_w")[-1] == pytest.approx(72.0, rel=0.05)
    assert trace.of("reasons")[-1] == Reason.GPU_IDLE


# Bits and the gate


def test_reasons_have_the_values_of_nvml():
    assert {reason.name: int(reason) for reason in PRIORITY} == {
        "GPU_IDLE": 0x1,
        "APPLICATIONS_CLOCKS_SETTING": 0x2,
        "SW_POWER_CAP": 0x4,
        "HW_SLOWDOWN": 0x8,
        "SYNC_BOOST": 0x10,
        "SW_THERMAL_SLOWDOWN": 0x20,
        "HW_THERMAL_SLOWDOWN": 0x40,
        "HW_POWER_BRAKE_SLOWDOWN": 0x80,
        "DISPLAY_CLOCK_SETTING": 0x100,
    }


def test_fields_and_thresholds_have_their_numbers():
    numbers = {name: field.number for name, field in FIELDS.items()}
    assert numbers["temp_c"] == 150
    assert numbers["memory_temp_c"] == 140  # 252 is the framebuffer, whatever blogs say
    assert numbers["framebuffer_used_mib"] == 252
    assert numbers["throttle_reasons"] == 112
    assert numbers["power_w"] == 155
    assert numbers["xid"] == 230
    assert [THRESHOLDS[name].number for name in ("shutdown_c", "slowdown_c", "max_op_c")] == [
        0,
        1,
        3,
    ]
    assert REASON_TIMERS[Reason.HW_THERMAL_SLOWDOWN] == 1423
    assert "restart the machine" in XIDS[79].action


@pytest.mark.parametrize(
    ("bits", "winner"),
    [
        (0x0, Reason.NONE),
        (0x1, Reason.GPU_IDLE),
        (0x4, Reason.SW_POWER_CAP),
        (0x20 | 0x4, Reason.SW_THERMAL_SLOWDOWN),
        (0x8 | 0x40 | 0x20 | 0x4, Reason.HW_THERMAL_SLOWDOWN),
        (0x8 | 0x80, Reason.HW_POWER_BRAKE_SLOWDOWN),
        (0x8 | 0x80 | 0x40, Reason.HW_THERMAL_SLOWDOWN),
        (0x8, Reason.HW_SLOWDOWN),
        (0x8 | 0x20, Reason.HW_SLOWDOWN),
        (0x4 | 0x10, Reason.SW_POWER_CAP),
        (0x10 | 0x1, Reason.SYNC_BOOST),
        (0x2 | 0x1, Reason.APPLICATIONS_CLOCKS_SETTING),
    ],
)
def test_the_gate_knows_its_priorities(bits, winner):
    assert in_charge(bits) is winner
    assert gate(np.array([float(bits)]))[0] == int(winner)


def test_the_gate_agrees_with_itself_for_every_mask():
    everything = np.arange(0x200, dtype=np.float64)
    assert gate(everything).tolist() == [int(in_charge(bits)) for bits in range(0x200)]


def test_decoding_loses_no_known_bit():
    for pair in itertools.combinations(PRIORITY, 2):
        assert set(decode(pair[0] | pair[1])) == set(pair)
    assert decode(0x400) == []
    assert Reason.GPU_IDLE not in LIMITING


# What it costs


def test_it_adds_up_what_each_limit_cost():
    """10 s at full clock, 10 s at 0.8 under the cap, 10 s at half under hardware, 10 s idle."""
    clock = np.array([1980.0, 1584.0, 990.0, 345.0])[:, None]
    reasons = np.array([0.0, 0x4, 0x48 | 0x20, 0x1])[:, None]
    util = np.array([0.9, 0.9, 0.9, 0.0])[:, None]
    found = lost(
        interval_s=np.full(4, 10.0), clock_mhz=clock, reasons=reasons, util=util, max_clock_mhz=1980
    )
    assert found.busy_s == 30
    assert list(found.by_cause) == [0x40, 0x4]
    assert found.by_cause[0x40] == pytest.approx(5.0)
    assert found.by_cause[0x4] == pytest.approx(2.0)
    assert found.share == pytest.approx(7 / 30)


def test_it_counts_a_lost_gpu_whole_and_unknown_times_not_at_all():
    clock = np.array([np.nan, 1980.0])[:, None]
    found = lost(
        interval_s=np.array([10.0, 10.0]),
        clock_mhz=clock,
        reasons=np.zeros((2, 1)),
        util=np.ones((2, 1)),
        max_clock_mhz=1980,
        gone=np.array([0.0, 1.0])[:, None],
    )
    assert found.by_cause == {FELL_OFF: 10.0}
    assert found.busy_s == 10.0


def test_memory_bound_work_suffers_less():
    half = np.array([0.5])
    assert throughput(half)[0] == pytest.approx(0.5)
    assert throughput(half, memory_share=0.5)[0] == pytest.approx(2 / 3)
    assert throughput(np.zeros(1))[0] == 0
