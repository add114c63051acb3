"""Scenario files: a plant that runs unattended, as fast as it can, and writes down the truth.

A file names a seed, a start, a duration, weather, load, and events: faults that come, develop and
are repaired, and setpoints that somebody writes. The same file gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from facilities.demo.plant.faults import FAULTS, FaultBook
from facilities.demo.plant.judge import Judge
from facilities.demo.plant.physics import Plant, Settings
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors
from facilities.demo.plant.weather import Climate

FOLDER = Path(__file__).resolve().parent.parent / "scenarios"
WARM_UP_S = 1800  # simulated before the first reading, so that a start is no event
STEP_S = 2.0  # the plant's pushes are 2 s apart
KEYS = {"title", "seed", "start", "duration_s", "every_s", "weather", "load", "labels", "events"}
WEATHER = {"offset_k", "front_k", "fixed_dry_bulb_c", "mean_c", "season_k", "dew_below_k"}


class ScenarioError(Exception):
    """A scenario file that cannot be run; the text says where and what to do."""


@dataclass(frozen=True)
class Event:
    """At ``at_s`` a fault comes (``fault``), goes (``clear``) or a setpoint is written (``set``)."""

    at_s: float
    what: str
    name: str
    value: float = 0.0
    severity: float | None = None
    over_s: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A checked scenario file."""

    name: str
    title: str
    seed: int
    start: datetime
    duration_s: int
    every_s: int
    settings: Settings
    labels: tuple[str, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Recording:
    """What a run leaves: readings and true values at the same times, and the truth.

    ``ts`` (times,) UNIX seconds; ``values`` (times, points) float32 with NaN for an instrument that
    said nothing; ``true_values`` (times, true points) float32, before the instruments.
    """

    scenario: Scenario
    ts: NDArray[np.float64]
    tags: list[str]
    values: NDArray[np.float32]
    true_tags: list[str]
    true_values: NDArray[np.float32]
    truth: dict[str, Any]

    def write(self, folder: Path) -> None:
        """`readings.npz` (ts, tags, values, true_tags, true_values) and `truth.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "readings.npz",
            ts=self.ts,
            tags=np.array(self.tags),
            values=self.values,
            true_tags=np.array(self.true_tags),
            true_values=self.true_values,
        )
        text = json.dumps(self.truth, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def scenario_files() -> list[Path]:
    """The scenarios that come with the plant."""
    return sorted(FOLDER.glob("*.yaml"))


def read_scenario(path: Path, facility: FacilitySpec) -> Scenario:
    """Read and check a scenario. Raises ``ScenarioError`` naming the file and the key."""
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ScenarioError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(document, dict):
        raise ScenarioError(f"{path}: a scenario is a mapping of {', '.join(sorted(KEYS))}")
    unknown = set(document) - KEYS
    missing = {"title", "seed", "start", "duration_s"} - set(document)
    if unknown or missing:
        raise ScenarioError(
            f"{path}: missing {sorted(missing) or 'nothing'}, unknown {sorted(unknown) or 'nothing'}"
        )
    start = document["start"]
    if not isinstance(start, datetime):
        raise ScenarioError(f"{path}: start {start!r} is not a time such as 2026-06-10T06:00:00Z")
    weather = document.get("weather") or {}
    if set(weather) - WEATHER:
        raise ScenarioError(f"{path}: weather knows {', '.join(sorted(WEATHER))}")
    every_s = int(document.get("every_s", STEP_S))
    if every_s < STEP_S or every_s % STEP_S:
        raise ScenarioError(f"{path}: every_s {every_s} is not a multiple of {STEP_S:g}")
    events = [_event(path, entry, facility) for entry in document.get("events") or ()]
    duration_s = int(document["duration_s"])
    late = [event for event in events if not 0 <= event.at_s <= duration_s]
    if late:
        raise ScenarioError(
            f"{path}: {late[0].name} at {late[0].at_s:g} s is outside 0 to duration_s {duration_s}"
        )
    return Scenario(
        name=path.stem,
        title=str(document["title"]),
        seed=int(document["seed"]),
        start=start if start.tzinfo else start.replace(tzinfo=UTC),
        duration_s=duration_s,
        every_s=every_s,
        settings=Settings(
            climate=replace(Climate(), **weather), load=float(document.get("load", 1.0))
        ),
        labels=tuple(document.get("labels") or ()),
        events=tuple(sorted(events, key=lambda event: event.at_s)),
    )


def _event(path: Path, entry: dict[str, Any], facility: FacilitySpec) -> Event:
    kinds = {"fault", "clear", "set"} & set(entry)
    if len(kinds) != 1 or "at_s" not in entry:
        raise ScenarioError(f"{path}: an event has at_s and one of fault, clear, set: {entry!r}")
    what = kinds.pop()
    name, at_s = str(entry[what]), float(entry["at_s"])
    if what == "set":
        point = facility.point(name)
        if point is None or not point.writable:
            raise ScenarioError(f"{path}: {name} is no setpoint of the facility file")
        value = float(entry["value"])
        if not point.write_min <= value <= point.write_max:
            raise ScenarioError(
                f"{path}: {name}: {value:g} is outside its limits "
                f"{point.write_min:g} to {point.write_max:g}"
            )
        return Event(at_s, what, name, value=value)
    if name not in FAULTS:
        raise ScenarioError(f"{path}: no fault is called {name}; known: {', '.join(FAULTS)}")
    severity, over_s = entry.get("severity"), entry.get("over_s")
    try:  # the book knows what a fault may have
        FaultBook(facility).inject(name, now_s=0.0, severity=severity, over_s=over_s)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from error
    return Event(at_s, what, name, severity=severity, over_s=over_s)


def run_scenario(
    scenario: Scenario,
    facility: FacilitySpec,
    *,
    progress: Callable[[float], None] = lambda _share: None,
) -> Recording:
    """Run the whole scenario; memory is the recording (4 bytes a value) and no more."""
    plant = Plant(facility, seed=scenario.seed, settings=scenario.settings)
    sensors = Sensors(facility, seed=scenario.seed + 1)
    book, judge = FaultBook(facility), Judge(facility)
    rows = [
        row
        for row, point in enumerate(facility.points)
        if point.unit == "Cel" and not point.writable and point.kind not in ("server", "gpu")
    ]
    samples = scenario.duration_s // scenario.every_s + 1
    values = np.empty((samples, len(sensors.tags)), dtype=np.float32)
    true_values = np.empty((samples, len(rows)), dtype=np.float32)
    waiting = list(reversed(scenario.events))
    last = round(scenario.duration_s / STEP_S)
    for tick in range(-round(WARM_UP_S / STEP_S), last + 1):
        now_s = tick * STEP_S
        while waiting and waiting[-1].at_s <= now_s:
            _happen(waiting.pop(), now_s, plant, book)
        plant.conditions = book.conditions(now_s)
        sensors.faults = plant.conditions.instruments
        plant.step(STEP_S, at=scenario.start + timedelta(seconds=now_s))
        book.restarted(plant.take_restarted())
        true = plant.values()
        sensors.step(STEP_S, values=true)
        if tick < 0:
            continue
        read = sensors.read_array()
        judge.judge(read, now_s=now_s)
        if now_s % scenario.every_s == 0:
            sample = round(now_s / scenario.every_s)
            values[sample] = read
            true_values[sample] = sensors.vector(true)[rows]
        if tick % 1800 == 0:
            progress(tick / last)
    begin = scenario.start.timestamp()
    return Recording(
        scenario=scenario,
        ts=begin + scenario.every_s * np.arange(samples, dtype=np.float64),
        tags=sensors.tags,
        values=values,
        true_tags=[sensors.tags[row] for row in rows],
        true_values=true_values,
        truth=_truth(scenario, judge),
    )


def _happen(event: Event, now_s: float, plant: Plant, book: FaultBook) -> None:
    if event.what == "set":
        plant.write(event.name, event.value)
    elif event.what == "clear":
        book.clear(event.name)
    else:
        book.inject(event.name, now_s=now_s, severity=event.severity, over_s=event.over_s)


def _truth(scenario: Scenario, judge: Judge) -> dict[str, Any]:
    """Events, fault windows with their causes, and when each alarm rule first held."""
    windows = []
    for event in scenario.events:
        if event.what != "fault":
            continue
        fault = FAULTS[event.name]
        ends = [
            e.at_s
            for e in scenario.events
            if e.what == "clear" and e.name == event.name and e.at_s > event.at_s
        ]
        windows.append(
            {
                "fault": event.name,
                "group": fault.group,
                "cause": fault.cause,
                "title": fault.title,
                "from_s": event.at_s,
                "to_s": min(ends, default=float(scenario.duration_s)),
                "severity": 1.0 if event.severity is None else event.severity,
                "over_s": fault.over_s if event.over_s is None else event.over_s,
                "alarms": list(fault.alarms),
                "flags": list(fault.flags),
                "procedure": fault.procedure,
            }
        )
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "seed": scenario.seed,
        "start": scenario.start.isoformat(),
        "duration_s": scenario.duration_s,
        "every_s": scenario.every_s,
        "labels": list(scenario.labels),
        "events": [
            {
                "at_s": event.at_s,
                event.what: event.name,
                **({"value": event.value} if event.what == "set" else {}),
            }
            for event in scenario.events
        ],
        "faults": windows,
        "alarms": [
            {"rule": rule, "point": tag, "first_s": at_s}
            for (rule, tag), at_s in sorted(judge.raised.items(), key=lambda item: item[1])
            if math.isfinite(at_s)
        ],
    }
