"""Cost of the digital twin: 30 simulated minutes, against the size of the site and of the ensemble.

    python benchmarks/twin.py [--halls 1,2,5,10] [--members 1,2,10,50,200] [--repeats 5]

Each figure is the processor time and the clock's time of one run of ``--minutes`` in steps of 5 s,
recording rack inlets, GPU temperatures, powers and jobs every 10 s: doing nothing beside an action
(a CRAC trips, the standby starts a minute later), so two variants. ``floor_ratio`` compares a step
with as many bare NumPy calls on arrays of the same number of elements, ``peak_mb`` is what the run
allocates at most at one time (tracemalloc, measured in a run of its own). Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

# one core: BLAS threads would only fight over matrices this small
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from facilities.twin.coupled import Parameters, Twin  # noqa: E402
from facilities.twin.drive import Drive  # noqa: E402
from facilities.twin.read import read_site  # noqa: E402
from facilities.twin.schedule import Change, Schedule  # noqa: E402
from facilities.twin.site import AssetRecord, LinkRecord, Site  # noqa: E402

RECORDED = (
    ("rack", "inlet_c"),
    ("gpu", "temp_c"),
    ("hall", "it_power_w"),
    ("hall", "facility_power_w"),
    ("job", "throughput_pct"),
)


def large_site(halls: int) -> Site:
    """``halls`` halls of 100 racks, 100 servers and 800 GPUs with their own power and loop.

    25 racks of each hall hold four servers of eight GPUs, the others general IT.
    """
    assets: list[AssetRecord] = []
    links: list[LinkRecord] = []

    def add(tag: str, kind: str, /, **given: Any) -> None:
        place = {name: given.pop(name) for name in ("hall", "rack", "parent") if name in given}
        assets.append(AssetRecord(tag, kind, attributes=given, **place))

    def link(kind: str, source: str, target: str, **given: Any) -> None:
        links.append(LinkRecord(source, target, kind, given))

    fabric: dict[str, Any] = {"medium": "optic", "layer": "l3", "capacity_gbps": 400}
    for number in range(halls):
        h = f"h{number}"
        add(h, "hall", hall=h)
        add(f"{h}-utility", "utility", nominal_v=400)
        add(f"{h}-gen", "generator", rated_w=4_000_000, start_s=12)
        for feed in "ab":
            add(f"{h}-ups-{feed}", "ups", rated_w=2_500_000, battery_min_at_rated=10)
            link("power", f"{h}-utility", f"{h}-ups-{feed}")
            link("power", f"{h}-gen", f"{h}-ups-{feed}")
            for row in range(5):
                add(f"{h}-pdu-{feed}{row}", "pdu", hall=h, rated_w=600_000)
                link("power", f"{h}-ups-{feed}", f"{h}-pdu-{feed}{row}")
        plant = [f"{h}-crac-{n}" for n in range(20)]
        for n, tag in enumerate(plant):
            add(tag, "crac", hall=h, role="standby" if n == 19 else "duty", sensible_w=90_000,
                airflow_m3s=6.2, fan_w=7500, x_m=1.5 + 1.6 * (n % 10), y_m=0.7 + 12.6 * (n // 10))  # fmt: skip
        for n in range(2):
            role = "standby" if n else "duty"
            add(f"{h}-chiller-{n}", "chiller", role=role, cooling_w=1_800_000)
            add(f"{h}-pump-{n}", "pump", role=role, flow_lps=80, power_w=37_000)
            plant += [f"{h}-chiller-{n}", f"{h}-pump-{n}"]
            link("cooling", f"{h}-tower", f"{h}-chiller-{n}")
            for pump in range(2):
                link("cooling", f"{h}-chiller-{n}", f"{h}-pump-{pump}")
            for crac in range(20):
                link("cooling", f"{h}-pump-{n}", f"{h}-crac-{crac}")
        add(f"{h}-tower", "tower", heat_w=2_300_000, fan_w=50_000, pump_w=28_000, flow_lps=100)
        for tag in [*plant, f"{h}-tower"]:
            link("power", f"{h}-utility", tag)
            link("power", f"{h}-gen", tag)
        for spine in range(4):
            add(f"{h}-spine-{spine}", "spine", hall=h)
        for position in range(100):
            rack, dense, row = f"{h}-rack-{position}", position % 4 == 0, position // 20
            add(rack, "rack", hall=h, rated_w=45_000 if dense else 8000,
                x_m=1.2 + 0.8 * (position % 20), y_m=2.5 + 2.2 * row)  # fmt: skip
            for feed in "ab":
                link("power", f"{h}-pdu-{feed}{row}", rack)
            if not dense:
                continue
            leaf = f"{h}-leaf-{position}"
            add(leaf, "leaf", hall=h, rack=rack)
            for spine in range(4):
                wire = f"{h}-link-{position}-{spine}"
                add(wire, "link", hall=h, capacity_gbps=400,
                    **{"from": leaf, "to": f"{h}-spine-{spine}"})  # fmt: skip
                link("network", leaf, wire, **fabric)
                link("network", wire, f"{h}-spine-{spine}", **fabric)
            for server in range(4):
                tag = f"{h}-srv-{position}-{server}"
                add(tag, "server", hall=h, rack=rack, gpus=8, leaf=leaf)
                link("network", tag, leaf, **{**fabric, "medium": "copper", "layer": "l2"})
                for gpu in range(8):
                    add(f"{tag}-gpu-{gpu}", "gpu", hall=h, rack=rack, parent=tag, max_w=700)
        servers = [a.tag for a in assets if a.kind == "server" and a.hall == h]
        for job in range(5):
            add(f"{h}-job-{job}", "job", kind="training", servers=servers[job * 20 : job * 20 + 20],
                compute_s=1.1, allreduce_gb=14, tensor_gb=60, overlap=0.7, utilisation=0.8,
                checkpoint_gb=420, checkpoint_every_s=1800)  # fmt: skip
    return Site(assets, links, name=f"{halls} halls")


def action(site: Site) -> Schedule:
    """A CRAC of the first hall trips; variant 1 starts the standby unit after a minute."""
    cracs = site.of_kind("crac")
    standby = next(asset.tag for asset in cracs if asset.attributes.get("role") == "standby")
    return Schedule(
        [
            Change(0, cracs[1].tag, "tripped", 1),
            Change(60, standby, "run_cmd", 1, variant=1),
        ]
    )


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median, least and spread of processor and clock time, ms."""
    clock, cpu = [], []
    for _ in range(repeats):
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        clock.append((time.perf_counter() - began) * 1e3)
        cpu.append((time.process_time() - began_cpu) * 1e3)
    quartiles = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else [cpu[0], 0.0, cpu[0]]
    return {
        "cpu_ms": round(statistics.median(cpu), 1),
        "cpu_ms_least": round(min(cpu), 1),
        "cpu_ms_iqr": round(quartiles[2] - quartiles[0], 1),
        "clock_ms": round(statistics.median(clock), 1),
    }


def floor_us(elements: int, calls: int) -> float:
    """Time of ``calls`` bare in-place additions of arrays that hold ``elements`` altogether."""
    each = max(1, elements // max(calls, 1))
    x, y = np.ones(each), np.ones(each)
    best = float("inf")
    for _ in range(30):
        began = time.process_time()
        for _ in range(calls):
            np.add(x, y, out=x)
        best = min(best, time.process_time() - began)
    return best * 1e6


def elements(twin: Twin, members: int) -> int:
    """Numbers that make up the state, as a measure of what a step must at least touch."""
    state = twin.initial(Drive(twin.site))
    return members * sum(array[0].size for array in state.to_arrays().values())


def measure(
    site: Site, *, minutes: float, draws: int, repeats: int, memory: bool = True
) -> dict[str, Any]:
    """One configuration: ``draws`` of the parameters for each of the two variants."""
    began = time.perf_counter()
    parameters = Parameters()
    if draws > 1:
        parameters = parameters.drawn(draws, np.random.default_rng(1)).tiled(2)
    twin = Twin(site, parameters)
    built_ms = (time.perf_counter() - began) * 1e3
    drive, schedule = Drive(site), action(site)
    plain = Twin(site)
    began = time.process_time()
    state = plain.initial(drive)
    settled_ms = (time.process_time() - began) * 1e3
    start = state.repeated(2 * draws)
    closure = 0.0

    def run() -> None:
        nonlocal closure
        course = twin.run(
            start, drive, schedule, duration_s=minutes * 60, variants=2, record=RECORDED
        )
        closure = max(closure, course.closure)

    run()
    result: dict[str, Any] = {
        "racks": site.count("rack"),
        "gpus": site.count("gpu"),
        "members": 2 * draws,
        "build_ms": round(built_ms, 1),
        "settle_cpu_ms": round(settled_ms, 1),
        **timed(run, repeats),
    }
    steps = minutes * 60 / 5
    result["us_per_step"] = round(result["cpu_ms"] / steps * 1e3, 1)
    result["closure"] = float(f"{closure:.1e}")
    calls = 400  # of NumPy in a step, about; see docs/twin.md
    floor = floor_us(elements(plain, 2 * draws), calls)
    result["floor_ratio"] = round(result["cpu_ms_least"] / steps * 1e3 / floor, 2)
    if memory:
        tracemalloc.start()
        run()
        result["peak_mb"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
        tracemalloc.stop()
    return result


def main() -> None:
    """Measure the demo hall, sizes and ensembles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--halls", default="1,2,5,10", help="of 100 racks and 800 GPUs")
    parser.add_argument("--members", default="1,10,50,100", help="draws per variant, demo hall")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    demo = read_site()
    results: dict[str, Any] = {
        "demo_hall": measure(
            demo, minutes=options.minutes, draws=1, repeats=max(options.repeats, 9)
        ),
        "size": [
            measure(
                large_site(int(halls)), minutes=options.minutes, draws=1, repeats=options.repeats
            )
            for halls in options.halls.split(",")
            if halls
        ],
        "ensemble": [
            measure(
                demo,
                minutes=options.minutes,
                draws=int(draws),
                repeats=options.repeats,
                memory=int(draws) > 50,
            )
            for draws in options.members.split(",")
            if draws
        ],
    }
    print(json.dumps({"benchmark": "twin", "minutes": options.minutes, **results}, indent=2))


if __name__ == "__main__":
    main()
