"""Joules: RAPL's counters, the estimate, and who is charged for a step."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from kvserve.engine.scheduler import Chunk
from kvserve.observe.energy import (
    ESTIMATED,
    IDLE_SHARE,
    MEASURED,
    CpuShare,
    EnergyAccount,
    EstimateMeter,
    RaplMeter,
    RaplUnavailable,
    best_meter,
)
from kvserve.tests.conftest import ask
from kvserve.tests.toy import new_sequence

RANGE_UJ = 262_143_328_850


def zone(powercap: Path, path: str, name: str, energy_uj: int) -> Path:
    """A counter as the kernel lays it out (Documentation/power/powercap)."""
    folder = powercap / path
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


@pytest.fixture
def powercap() -> Path:
    """Not under tmp_path, whose parents other users may not enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    return folder


@pytest.fixture
def all_of_it(tmp_path: Path) -> CpuShare:
    """A machine on which nothing else is busy: a share of 1."""
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 0 5000 0 0 0 0 0 0\n")
    return CpuShare(stat)


def test_it_adds_packages_but_not_their_parts_or_twins(powercap, all_of_it) -> None:
    first = zone(powercap, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(powercap, "intel-rapl:1", "package-1", 0)
    parts = [
        zone(powercap, "intel-rapl:0:0", "core", 0),
        zone(powercap, "intel-rapl:2", "psys", 0),
        zone(powercap, "intel-rapl-mmio:0", "package-0", 0),
    ]
    meter = RaplMeter(powercap, all_of_it)
    (first / "energy_uj").write_text("3500000\n")
    (second / "energy_uj").write_text("250000\n")
    for part in parts:
        (part / "energy_uj").write_text("9000000\n")
    assert meter.read() == pytest.approx(2.75)
    assert meter.read() == 0
    assert "2 package(s)" in meter.detail


def test_it_survives_the_wrap_of_a_counter(powercap, all_of_it) -> None:
    package = zone(powercap, "intel-rapl:0", "package-0", RANGE_UJ - 400_000)
    meter = RaplMeter(powercap, all_of_it)
    (package / "energy_uj").write_text("600000\n")
    assert meter.read() == pytest.approx(1.0)


def test_it_charges_this_process_by_its_share_of_busy_time(powercap, tmp_path, monkeypatch) -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "stat"
    stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n")
    monkeypatch.setattr("kvserve.observe.energy.SHARE_PERIOD_S", 0.0)
    package = zone(powercap, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(powercap, CpuShare(stat))
    before = time.process_time()
    while time.process_time() - before < 0.2:
        pass
    stat.write_text(f"cpu {round(0.5 / tick)} 0 {round(0.3 / tick)} 9999 777 0 0 0 0 0\n")
    (package / "energy_uj").write_text("8000000\n")
    assert meter.read() == pytest.approx(8 * 0.2 / 0.8, rel=0.1)


def test_it_says_why_there_is_no_rapl(powercap) -> None:
    with pytest.raises(RaplUnavailable, match="shows no RAPL package counter"):
        RaplMeter(powercap)
    meter = best_meter(watts_per_core=4, cores=2, powercap=powercap)
    assert meter.source == ESTIMATED
    assert meter.detail == (
        "estimated at 4 W per busy core: this machine shows no RAPL package counter"
    )


def test_it_says_that_only_root_may_read_rapl(powercap) -> None:
    package = zone(powercap, "intel-rapl:0", "package-0", 0)
    (package / "energy_uj").chmod(0o400)
    assert _as_nobody(lambda: best_meter(watts_per_core=4, cores=2, powercap=powercap).detail) == (
        f"estimated at 4 W per busy core: RAPL is there, but {package / 'energy_uj'} may be read"
        " by root only"
    )


def _as_nobody(question) -> str:
    """Ask in a child that is not root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os.write(writing, question().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_the_estimate_charges_busy_and_idle_cores() -> None:
    meter = EstimateMeter(watts_per_core=10, cores=2, reason="")
    cpu, wall = time.process_time(), time.monotonic()
    while time.process_time() - cpu < 0.1:
        pass
    time.sleep(0.1)
    joules = meter.read()
    busy, spent = time.process_time() - cpu, time.monotonic() - wall
    assert joules == pytest.approx(10 * (busy + IDLE_SHARE * (2 * spent - busy)), rel=0.05)


def test_it_goes_on_with_the_estimate_when_a_counter_fails(powercap, all_of_it) -> None:
    package = zone(powercap, "intel-rapl:0", "package-0", 0)
    account = EnergyAccount(watts_per_core=5, cores=1)
    account.meter = RaplMeter(powercap, all_of_it)
    (package / "energy_uj").write_text("1000000\n")
    seq = new_sequence(1, 4)
    assert account.charge([Chunk(seq, 0, 4)]) == 1.0
    assert account.meter.source == MEASURED
    (package / "energy_uj").unlink()
    assert account.charge([Chunk(seq, 0, 4)]) == 0
    assert account.meter.source == ESTIMATED
    assert "RAPL failed" in account.meter.detail
    time.sleep(0.01)
    assert account.charge([Chunk(seq, 0, 4)]) > 0
    assert seq.joules == pytest.approx(account.total)


def test_it_divides_a_step_by_tokens_computed(powercap, all_of_it) -> None:
    package = zone(powercap, "intel-rapl:0", "package-0", 0)
    account = EnergyAccount()
    account.meter = RaplMeter(powercap, all_of_it)
    reader, writer = new_sequence(1, 30), new_sequence(2, 4)
    (package / "energy_uj").write_text("6400000\n")
    account.charge([Chunk(reader, 0, 31), Chunk(writer, 4, 1)])
    assert (reader.joules, writer.joules) == pytest.approx((6.2, 0.2))


def test_requests_add_up_to_the_total_and_pauses_are_free(engine) -> None:
    before = engine.energy.total
    readers = [ask(engine, f"{number} Once upon a time", max_tokens=12) for number in range(3)]
    cancelled = ask(engine, "Never finished", max_tokens=500, ignore_eos=True)
    cancelled.deltas.get(timeout=30)
    engine.cancel(cancelled.seq)
    joules = [reader.answer().last.joules for reader in (*readers, cancelled)]
    assert all(each > 0 for each in joules)
    total = engine.energy.total
    assert sum(joules) == pytest.approx(total - before, rel=1e-6)
    time.sleep(1.0)
    asked = time.monotonic()
    later = ask(engine, "a", max_tokens=1).answer().last.joules
    all_cores_w = engine.config.watts_per_core * engine.config.threads
    assert later < 1.1 * all_cores_w * (time.monotonic() - asked)
    assert engine.energy.total - total == pytest.approx(later)
