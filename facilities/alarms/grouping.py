"""Which open alarm is a consequence of which. Pure: alarms and topology in, placements out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from facilities.models.alarm import RuleKind

from .topology import SHOWS, Domain, Effect, Topology


class Open(NamedTuple):
    """An alarm that is active, or cleared so recently that its consequences still count.

    ``rank``: 0 is critical. ``quiet``: shelved or raised in maintenance, so nobody looks at it.
    ``reporter``: the asset of the source that sends the point.
    """

    id: int
    point_id: int
    asset_id: int
    domain: Domain
    rule_kind: str
    rank: int
    raised_at: datetime
    cleared_at: datetime | None
    root_id: int | None
    suppressed: bool
    safety: bool
    quiet: bool
    reporter: int | None = None


class Placement(NamedTuple):
    """The head of the group an alarm belongs to (None: itself), and whether it is hidden."""

    root_id: int | None
    suppressed: bool


class Window(NamedTuple):
    """How long before and after its cause a consequence may be raised, seconds."""

    before_s: float
    after_s: float


CRITICAL = 0


def shows(alarm: Open) -> Effect:
    """Return the effects that the alarm can be a sign of."""
    if alarm.rule_kind == RuleKind.STALENESS:
        return Effect.UNPOWERED | Effect.ISOLATED
    if alarm.rule_kind == RuleKind.ANOMALY:
        return Effect.ALL
    if alarm.rule_kind == RuleKind.QUALITY:
        return Effect.NONE
    return SHOWS[alarm.domain]


def is_cause(alarm: Open) -> bool:
    """Whether others can follow from it: what only says that data is odd causes nothing."""
    return alarm.rule_kind in (RuleKind.THRESHOLD, RuleKind.RATE, RuleKind.EXPRESSION)


def place(alarms: Sequence[Open], topology: Topology, window: Window) -> dict[int, Placement]:
    """Return the placement of every active alarm.

    The cause is the nearest alarm upstream that explains the alarm and fits in time; the head of
    the group is the cause of causes. An alarm is hidden only under a head that somebody sees, is
    at least as severe, and never when it is critical or protects people. A head that cleared keeps
    what it hid (until the caller stops naming it) but gathers nothing new.
    """
    by_id = {alarm.id: alarm for alarm in alarms}
    causes = _causes(alarms, topology, window)
    placements = {}
    for alarm in alarms:
        if alarm.cleared_at is not None:
            continue
        head = _head(alarm, causes, by_id)
        placements[alarm.id] = Placement(
            None if head is alarm else head.id,
            head is not alarm
            and not alarm.safety
            and not head.quiet
            and head.rank <= alarm.rank
            and alarm.rank != CRITICAL,
        )
    return placements


def _causes(alarms: Sequence[Open], topology: Topology, window: Window) -> Mapping[int, Open]:
    """The direct cause of each alarm that has one."""
    reaching: dict[int, list[tuple[int, Open, Effect]]] = defaultdict(list)
    known: dict[tuple[int, Domain], Iterable[tuple[int, int, Effect]]] = {}
    for alarm in alarms:
        if not is_cause(alarm):
            continue
        key = (alarm.asset_id, alarm.domain)
        if key not in known:
            known[key] = [
                (asset, reach.distance, reach.effect)
                for asset, reach in topology.consequences(*key).items()
            ]
        for asset, distance, effect in known[key]:
            reaching[asset].append((distance, alarm, effect))
    causes = {}
    speakers = _silent_sources(alarms)
    for alarm in alarms:
        speaker = speakers.get(alarm.reporter or 0)
        if speaker is not None and _reported(alarm, speaker, window):
            causes[alarm.id] = speaker
            continue
        wanted = shows(alarm)
        fitting = [
            (distance, cause.raised_at, cause.id, cause)
            for distance, cause, effect in reaching.get(alarm.asset_id, ())
            if effect & wanted
            and cause.point_id != alarm.point_id
            and _fits(alarm, cause, distance, window)
        ]
        if fitting:
            causes[alarm.id] = min(fitting)[3]
    return causes


def _silent_sources(alarms: Sequence[Open]) -> dict[int, Open]:
    """The alarm of each source's own heartbeat, by the source's asset."""
    reporters = {alarm.reporter for alarm in alarms}
    return {
        alarm.asset_id: alarm
        for alarm in alarms
        if alarm.asset_id in reporters and alarm.domain is Domain.STATE and is_cause(alarm)
    }


def _reported(alarm: Open, speaker: Open, window: Window) -> bool:
    """Whether the alarm only says that data is missing, and its source's silence explains that.

    However long the silence lasts; but a point that was silent well before its source has a reason
    of its own.
    """
    if alarm.rule_kind not in (RuleKind.STALENESS, RuleKind.QUALITY):
        return False
    if speaker.cleared_at is not None and alarm.root_id is None:
        return False
    return (alarm.raised_at - speaker.raised_at).total_seconds() >= -window.before_s


def _fits(alarm: Open, cause: Open, distance: int, window: Window) -> bool:
    if cause.cleared_at is not None and alarm.root_id is None:
        return False
    if distance == 0 and alarm.domain is Domain.STATE:
        return False  # two states of one asset: neither explains the other
    later_s = (alarm.raised_at - cause.raised_at).total_seconds()
    return -window.before_s <= later_s <= window.after_s


def _head(alarm: Open, causes: Mapping[int, Open], by_id: Mapping[int, Open]) -> Open:
    """Follow the causes to the first; in a circle the earliest raised is the first."""
    path = [alarm]
    seen = {alarm.id}
    while (cause := causes.get(path[-1].id)) is not None:
        if cause.id in seen:
            circle = path[[step.id for step in path].index(cause.id) :]
            return min(circle, key=lambda step: (step.raised_at, step.id))
        seen.add(cause.id)
        path.append(by_id[cause.id])
    return path[-1]
