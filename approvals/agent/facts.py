"""All that is known at one investigation, as plain values: what the causes are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from approvals.agent.occasion import Occasion
from approvals.catalogue.situation import Situation

# A reading that the twin misses by this many standard deviations is conspicuous (assumed: about
# one in 16,000 by chance).
CONSPICUOUS_Z = 4.0


class Thing(NamedTuple):
    """An asset: tag, name, kind; `rack`, `hall` and `parent` are tags or ""; `role` is duty,
    standby or ""."""

    tag: str
    name: str
    kind: str
    rack: str
    hall: str
    parent: str
    role: str


class OpenAlarm(NamedTuple):
    """An alarm that is on: its rule, point and asset."""

    alarm: int
    rule: str
    tag: str
    asset: str
    kind: str
    quantity: str
    value: float
    severity: str
    of_instrument: bool


@dataclass(frozen=True)
class Facts:
    """The hall's situation, the site's assets and links, the open alarms and what is doubtful.

    `residuals`: tag → {measured, predicted, z} of the followed twin; `findings`: what the twin says
    wears out [{asset, what, text, confidence, point}]; `doubts`: tag → why its sensor is doubted;
    `unusual`: tag → what the anomaly detector says. `worked_on`: assets in a maintenance window →
    why: people may have their hands in there, so nothing is started or moved on them from here.
    """

    occasion: Occasion
    situation: Situation
    things: Mapping[str, Thing]
    links: tuple[tuple[str, str, str], ...] = ()
    alarms: tuple[OpenAlarm, ...] = ()
    residuals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    findings: tuple[Mapping[str, Any], ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    unusual: Mapping[str, str] = field(default_factory=dict)
    worked_on: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_answers(
        cls, occasion: Occasion, hall: Mapping[str, Any], watched: Mapping[str, Any]
    ) -> Facts:
        """Build them from the answers of the tools `gather` and `findings`."""
        things = [Thing(*row) for row in hall["things"]]
        return cls(
            occasion=occasion,
            situation=situation_from_json(hall["situation"]),
            things={thing.tag: thing for thing in sorted(things)},
            links=tuple((kind, source, target) for kind, source, target in hall["links"]),
            alarms=tuple(OpenAlarm(*row) for row in hall["alarms"]),
            residuals=watched.get("residuals", {}),
            findings=tuple(watched.get("findings", ())),
            doubts=watched.get("doubts", {}),
            unusual=watched.get("unusual", {}),
            worked_on=hall.get("worked_on", {}),
        )

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Thing, ...]]:
        found: dict[str, list[Thing]] = {}
        for thing in self.things.values():
            found.setdefault(thing.kind, []).append(thing)
        return {kind: tuple(things) for kind, things in found.items()}

    def of_kind(self, kind: str) -> tuple[Thing, ...]:
        """Every asset of a kind, by tag."""
        return self._by_kind.get(kind, ())

    def value(self, asset: str, quantity: str) -> float | None:
        """The latest value of a point; None where there is none to go by."""
        measured = self.situation.values.get(f"{asset}.{quantity}")
        return None if measured is None else measured.value

    def at_least(self, asset: str, quantity: str, least: float) -> bool:
        """Whether a point has a value, and it is not below `least`."""
        value = self.value(asset, quantity)
        return value is not None and value >= least

    def below(self, asset: str, quantity: str, limit: float) -> bool:
        """Whether a point has a value, and it is below `limit`."""
        value = self.value(asset, quantity)
        return value is not None and value < limit

    def name(self, tag: str) -> str:
        """The asset's name, or its tag."""
        thing = self.things.get(tag)
        return thing.name if thing and thing.name else tag

    def alarmed(self, *rules: str) -> list[OpenAlarm]:
        """Open alarms of these rules, the occasion's own asset first."""
        mine = [alarm for alarm in self.alarms if alarm.rule in rules]
        return sorted(mine, key=lambda a: (a.asset != self.occasion.asset, a.tag))

    def downstream(self, tag: str, link: str, depth: int = 6) -> set[str]:
        """Assets behind one along a kind of link."""
        found: set[str] = set()
        front = {tag}
        for _ in range(depth):
            front = {t for kind, s, t in self.links if kind == link and s in front} - found
            if not front:
                break
            found |= front
        return found

    def gpus_of(self, place: str) -> tuple[Thing, ...]:
        """The GPUs of a server or of a rack."""
        return tuple(g for g in self.of_kind("gpu") if place in (g.parent, g.rack))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Situation]:
    return TypeAdapter(Situation)


def situation_to_json(situation: Situation) -> dict[str, Any]:
    """A situation as JSON values, for the record."""
    return dict(_adapter().dump_python(situation, mode="json"))


def situation_from_json(stored: Mapping[str, Any]) -> Situation:
    """The situation of a record. Raises pydantic's ValidationError for another version's."""
    return _adapter().validate_python(stored)
