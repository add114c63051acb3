"""Scenario files: checked, reproducible to the byte, with the truth beside the readings."""

import hashlib
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from facilities.demo.plant.faults import FAULTS
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.scenario import (
    Recording,
    ScenarioError,
    read_scenario,
    run_scenario,
    scenario_files,
)

SHORT = """
title: A trip that somebody answers
seed: 5
start: 2026-06-02T09:00:00Z
duration_s: 420
every_s: 4
labels: [short]
events:
  - {at_s: 60, fault: crac-2-trip}
  - {at_s: 60, fault: sensor-silent}
  - {at_s: 200, set: crac-4.run_cmd, value: 1}
  - {at_s: 300, clear: crac-2-trip}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, facility: FacilitySpec) -> Recording:
    path = tmp_path_factory.mktemp("scenario") / "short.yaml"
    path.write_text(SHORT)
    return run_scenario(read_scenario(path, facility), facility)


def test_it_comes_with_scenarios_for_every_group_of_faults(facility: FacilitySpec) -> None:
    scenarios = [read_scenario(path, facility) for path in scenario_files()]
    assert len(scenarios) >= 12
    used = {event.name for s in scenarios for event in s.events if event.what == "fault"}
    assert {FAULTS[name].group for name in used} >= {
        "Cooling",
        "Power",
        "Compute",
        "Network",
        "Instruments",
    }
    assert len([s for s in scenarios if "healthy" in s.labels]) >= 3
    assert len([s for s in scenarios if "slow fault" in s.labels]) >= 5


def test_it_writes_the_same_bytes_from_the_same_file(
    recording: Recording, facility: FacilitySpec, tmp_path: Path
) -> None:
    recording.write(tmp_path / "a")
    run_scenario(recording.scenario, facility).write(tmp_path / "b")
    for name in ("readings.npz", "truth.json"):
        first, second = ((tmp_path / side / name).read_bytes() for side in "ab")
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest(), name


def test_it_records_readings_beside_the_truth(recording: Recording, tmp_path: Path) -> None:
    recording.write(tmp_path)
    with np.load(tmp_path / "readings.npz") as stored:
        tags, values = stored["tags"].tolist(), stored["values"]
        true_tags, true_values = stored["true_tags"].tolist(), stored["true_values"]
        assert np.all(np.diff(stored["ts"]) == 4.0)
    assert values.shape == (106, len(tags)) and values.dtype == np.float32
    silent = values[:, tags.index("rack-2-06.inlet_c")]
    assert not np.isnan(silent[:15]).any() and np.isnan(silent[15:]).all()
    probe = values[:, tags.index("rack-2-03.inlet_c")]
    true = true_values[:, true_tags.index("rack-2-03.inlet_c")]
    rising = slice(20, 40)
    assert np.mean(true[rising] - probe[rising]) > 0.3  # the probe lags behind the warming air
    assert true.max() > 27.0


def test_it_says_what_was_broken_and_what_alarms_it_raised(
    recording: Recording, tmp_path: Path
) -> None:
    recording.write(tmp_path)
    truth = json.loads((tmp_path / "truth.json").read_text())
    trip = next(w for w in truth["faults"] if w["fault"] == "crac-2-trip")
    assert (trip["cause"], trip["from_s"], trip["to_s"]) == ("crac-2", 60.0, 300.0)
    first = {alarm["rule"]: alarm["first_s"] for alarm in reversed(truth["alarms"])}
    assert first["CRAC fault"] - 60 <= 4
    assert 60 <= first["Rack inlet high"] - 60 <= 110
    assert {"at_s": 200.0, "set": "crac-4.run_cmd", "value": 1.0} in truth["events"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("crac-2-trip}\n  - {at_s: 60, fault: sensor", "meteor}\n  - {at_s: 1, fault: sensor"),
         "no fault is called meteor"),
        (("value: 1}", "value: 7}"), "outside its limits"),
        (("set: crac-4.run_cmd", "set: crac-4.supply_c"), "no setpoint"),
        (("fault: crac-2-trip}", "fault: crac-2-trip, severity: 0.5}"), "there or not"),
        (("at_s: 300", "at_s: 4300"), "outside 0 to duration_s"),
        (("every_s: 4", "every_s: 3"), "not a multiple"),
        (("title:", "titel:"), "missing ['title']"),
        (("labels:", "weather: {rain: 1}\nlabels:"), "weather knows"),
    ],
)  # fmt: skip
def test_it_refuses_a_file_that_cannot_be_run(
    change: tuple[str, str], message: str, facility: FacilitySpec, tmp_path: Path
) -> None:
    path = tmp_path / "broken.yaml"
    assert change[0] in SHORT
    path.write_text(SHORT.replace(*change))
    with pytest.raises(ScenarioError) as refused:
        read_scenario(path, facility)
    assert message in str(refused.value) and str(path) in str(refused.value)


def test_it_runs_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SHORT.replace("420", "310"))
    out = StringIO()
    call_command("plant", "--scenario", str(path), "--out", str(tmp_path / "out"), stdout=out)
    assert "78 x 1,253 readings, 2 faults" in out.getvalue()
    assert (tmp_path / "out" / "truth.json").exists()
    with pytest.raises(CommandError, match="add --out"):
        call_command("plant", "--scenario", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("plant", "--scenario", str(tmp_path / "none.yaml"), "--out", str(tmp_path))
