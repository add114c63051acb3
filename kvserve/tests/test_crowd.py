"""Threads sleep at barriers at once while others want the cores."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from kvserve.kernels.crowd import CALM_PERIODS, CROWDED, FREE, CpuTime, Crowd, cpu_time
from kvserve.kernels.extension import Hook, load


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    instance = Crowd(load(), threads=2)
    instance._stop.set()  # decides on what the test notes, not on this machine
    instance._thread.join()
    yield instance
    instance.close()


def test_one_crowded_period_is_enough_and_calm_ones_end_it(crowd):
    busy, quiet, between = (crowd.room + x for x in (CROWDED + 0.1, 0.0, (CROWDED + FREE) / 2))
    crowd.note(between)
    assert not crowd.crowded
    crowd.note(busy)
    assert crowd.crowded
    for _ in range(CALM_PERIODS - 1):
        crowd.note(quiet)
    crowd.note(between)  # not calm: counts anew
    for _ in range(CALM_PERIODS - 1):
        crowd.note(quiet)
    assert crowd.crowded
    crowd.note(quiet)
    assert not crowd.crowded


def test_what_this_process_uses_is_not_others():
    assert CpuTime(12.0, 103.0, 52.0).others_since(CpuTime(10.0, 100.0, 50.0)) == 0.5
    assert CpuTime(12.0, 101.9, 52.0).others_since(CpuTime(10.0, 100.0, 50.0)) == 0.0


def test_only_the_cpus_that_it_may_use_count(tmp_path):
    stat = tmp_path / "stat"
    rows = ["cpu  999 0 0 0 0 0 0 0 0 0"]
    rows += [f"cpu{n} 100 0 50 9999 777 0 0 50 5 0" for n in os.sched_getaffinity(0)]
    rows += ["cpu99999 100000 0 0 0 0 0 0 0 0 0", "intr 1 2 3"]
    stat.write_text("\n".join(rows))
    now = cpu_time(stat)
    assert now is not None
    assert now.everybody == pytest.approx(
        200 * len(os.sched_getaffinity(0)) / os.sysconf("SC_CLK_TCK")
    )
    assert cpu_time(tmp_path / "none") is None


@pytest.fixture
def hook_with_products() -> None:
    hook = Hook(load(), threads=2)
    has_product = hook.has_product
    hook.close()
    if not has_product:
        pytest.skip("this processor has no AVX-512 VNNI")


def _burn(stop, parent: int) -> None:
    """Use one core until told to stop, or left behind by a test that was killed."""
    while not stop.is_set() and os.getppid() == parent:
        pass


@pytest.mark.slow
def test_it_notices_other_processes_on_every_core():
    if cpu_time() is None:
        pytest.skip("this kernel keeps no accounts of its CPUs: threads always sleep at once")
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    count = 2 * (os.cpu_count() or 1)
    others = [spawn.Process(target=_burn, args=(stop, os.getpid())) for _ in range(count)]
    for process in others:
        process.start()
    crowd = Crowd(load(), threads=2)
    try:
        deadline = time.monotonic() + 30
        while not crowd.crowded and time.monotonic() < deadline:
            time.sleep(0.05)
        assert crowd.crowded
    finally:
        stop.set()
        crowd.close()
        for process in others:
            process.join()
    assert not crowd.crowded


HELD_OR_NOT = """
import ctypes, time
import numpy as np
from kvserve.kernels.extension import Hook, Product, load

hook = Hook(load(), threads=2)
weights, x = np.zeros((512, 18 * 34), np.uint8), np.ones((32, 576), np.float32)
out = np.empty((32, 512), np.float32)
view = Product(
    weights=weights.ctypes.data, x=x.ctypes.data, out=out.ctypes.data,
    weight_row=weights.strides[0], x_token=x.strides[0], out_token=out.strides[0],
    rows=512, tokens=32, blocks=18,
)

def cpu_of_steps():
    began = time.process_time()
    for _ in range(60):
        hook.library.hook_product(hook.handle, ctypes.byref(view))
        time.sleep(0.005)
    return time.process_time() - began

cpu_of_steps()
for held in (False, True, False):
    hook.library.crowd_hold(held, 2)
    print(cpu_of_steps())
"""


def test_a_held_team_stops_the_looking(hook_with_products):
    """CPU time of threads that wait 5 ms between products: looking costs, sleeping does not."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "50000"}
    done = subprocess.run(
        [sys.executable, "-c", HELD_OR_NOT],
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    looking, sleeping, again = map(float, done.stdout.split())
    print(f"CPU seconds of 60 steps: {looking:.3f} looking, {sleeping:.3f} sleeping, {again:.3f}")
    assert sleeping < 0.6 * min(looking, again)
