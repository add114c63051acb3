"""The cases that the agent is measured on: what breaks, and what a good engineer would ask for.

``scenarios.yaml`` beside this file is read here and checked against the facility; so is
``held_out.yaml``, on which no rule of the agent was written, and any other file of the form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from approvals.evaluation.breaks import Break, BreakError, Deed, breaks_read, deeds_read
from facilities.demo.plant.faults import FAULTS, FaultBook
from facilities.demo.plant.physics import Settings
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.scenario import WEATHER
from facilities.demo.plant.weather import Climate

FILE: Final = Path(__file__).with_name("scenarios.yaml")
HELD_OUT: Final = Path(__file__).with_name("held_out.yaml")
DRAWN: Final = Path(__file__).with_name("drawn.yaml")
HEALTHY: Final = "Healthy"
KEYS: Final = {
    "name", "title", "fault", "seed", "start", "weather", "load", "severity", "over_s",
    "before", "look_after_s", "assets", "kinds", "none", "group", "breaks", "does", "maintenance",
    "late_s", "each", "never",
}  # fmt: skip


class CaseError(Exception):
    """A case that cannot be run; the text names the file, the case and the key."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What is right: any of ``assets`` as target or cause, any of ``kinds`` as action.

    ``none_ok``: to propose nothing is right as well. ``each``: one asset of every set has to be
    named or acted on. ``never``: a change proposed there harms.
    """

    assets: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    none_ok: bool = True
    each: tuple[frozenset[str], ...] = ()
    never: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """One run. ``fault`` is empty where the plant is healthy or the case has ``breaks`` of its own;
    ``before`` was written long before, ``does`` meanwhile.

    ``look_after_s``: seconds after the fault when the agent looks although no alarm has come; of a
    healthy run its length. ``late_s``: how long after the first alarm it looks. ``maintenance``:
    assets in a maintenance window.
    """

    name: str
    title: str
    group: str
    fault: str
    seed: int
    start: datetime
    settings: Settings
    severity: float | None
    over_s: float | None
    look_after_s: float
    expect: Expect
    before: Mapping[str, float] = field(default_factory=dict)
    breaks: tuple[Break, ...] = ()
    does: tuple[Deed, ...] = ()
    maintenance: tuple[str, ...] = ()
    late_s: float = 0.0

    @property
    def healthy(self) -> bool:
        return self.group == HEALTHY


def cases_read(facility: FacilitySpec, *, path: Path = FILE) -> list[Case]:
    """All cases of the file, faults first. Raises ``CaseError``."""
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        faults, healthy = document["faults"], document["healthy"]
        defaults = document.get("defaults", {})
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise CaseError(f"{path}: no mapping of faults and healthy: {error}") from error
    cases = [
        _case(path, {**defaults, **entry}, facility, broken=broken)
        for entries, broken in ((faults, True), (healthy, False))
        for entry in entries
    ]
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CaseError(f"{path}: two cases are called {twice[0]}")
    return cases


def _case(path: Path, entry: dict[str, Any], facility: FacilitySpec, *, broken: bool) -> Case:
    where = f"{path.name}: case {entry.get('name') or entry.get('fault')}"
    unknown = set(entry) - KEYS
    if unknown:
        raise CaseError(f"{where}: unknown {sorted(unknown)}; known: {sorted(KEYS)}")
    fault = str(entry.get("fault", ""))
    breaks = entry.get("breaks") or ()
    if (broken and bool(fault) == bool(breaks)) or (fault and (not broken or fault not in FAULTS)):
        raise CaseError(f"{where}: fault {fault!r} is none of: {', '.join(FAULTS)}")
    start = entry["start"]
    if not isinstance(start, datetime):
        raise CaseError(f"{where}: start {start!r} is not a time such as 2026-06-10T06:00:00Z")
    weather = entry.get("weather") or {}
    if set(weather) - WEATHER:
        raise CaseError(f"{where}: weather knows {', '.join(sorted(WEATHER))}")
    severity, over_s = entry.get("severity"), entry.get("over_s")
    if fault:
        try:
            FaultBook(facility).inject(fault, now_s=0.0, severity=severity, over_s=over_s)
        except ValueError as error:
            raise CaseError(f"{where}: {error}") from error
    try:
        broken_too, does = (
            breaks_read(breaks, facility),
            deeds_read(entry.get("does", ()), facility),
        )
    except BreakError as error:
        raise CaseError(f"{where}: {error}") from error
    name = str(entry.get("name") or fault)
    return Case(
        name=name,
        title=str(entry.get("title") or (FAULTS[fault].title if fault else name)),
        group=(FAULTS[fault].group if fault else str(entry.get("group", "Breaks")))
        if broken
        else HEALTHY,
        fault=fault,
        seed=int(entry.get("seed", 7)),
        start=start if start.tzinfo else start.replace(tzinfo=UTC),
        settings=Settings(
            climate=replace(Climate(), **weather), load=float(entry.get("load", 1.0))
        ),
        severity=severity,
        over_s=over_s,
        look_after_s=float(entry.get("look_after_s", 1800.0)),
        expect=_expect(where, entry, facility, broken=broken),
        before=_before(where, entry, facility),
        breaks=broken_too,
        does=does,
        maintenance=tuple(sorted(_known(where, entry.get("maintenance", ()), facility))),
        late_s=float(entry.get("late_s", 0.0)),
    )


def _expect(where: str, entry: dict[str, Any], facility: FacilitySpec, *, broken: bool) -> Expect:
    assets = _known(where, entry.get("assets", ()), facility)
    kinds = frozenset(str(kind) for kind in entry.get("kinds", ()))
    none_ok = bool(entry.get("none", not broken))
    if broken and not (assets and (kinds or none_ok)):
        raise CaseError(f"{where}: says neither which assets nor which kinds are right")
    each = tuple(_known(where, tags, facility) for tags in entry.get("each", ()))
    return Expect(assets, kinds, none_ok, each, _known(where, entry.get("never", ()), facility))


def _known(where: str, tags: Iterable[Any], facility: FacilitySpec) -> frozenset[str]:
    """These assets. Raises ``CaseError`` for one that the facility has not."""
    named = frozenset(str(tag) for tag in tags)
    strange = named - {asset.tag for asset in facility.assets}
    if strange:
        raise CaseError(f"{where}: no asset is called {sorted(strange)[0]}")
    return named


def _before(where: str, entry: dict[str, Any], facility: FacilitySpec) -> dict[str, float]:
    before = {str(tag): float(value) for tag, value in (entry.get("before") or {}).items()}
    for tag, value in before.items():
        point = facility.point(tag)
        if point is None or not point.writable:
            raise CaseError(f"{where}: {tag} is no setpoint of the facility file")
        if not point.write_min <= value <= point.write_max:
            raise CaseError(
                f"{where}: {tag}: {value:g} is outside its limits "
                f"{point.write_min:g} to {point.write_max:g}"
            )
    return before
