"""Runs the twin for a question: every course of events and every draw in one batch.

Draws are the same for every course: what differs between two courses is the change, not the
luck. Many draws are run in chunks, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facilities.twin.coupled import Parameters, Twin, TwinState
from facilities.twin.drive import Drive, Key
from facilities.twin.schedule import Schedule
from facilities.twin.site import Floats, Site
from facilities.twin.trajectory import Trajectory

from .alarms import Fired, Watch, fired
from .figures import Figures, figure_keys, figures_of
from .question import Question, QuestionError, Wanted

SAMPLES: Final = 180
"""Moments kept of a run: every 10 s of half an hour, which is also how finely alarms are timed."""
LEAST_SAMPLES: Final = 60
MEMORY_BYTES: Final = 96 * 1024 * 1024
"""Bound on the trajectories held at once; longer steps between samples and fewer draws at once
keep to it."""

Progress = Callable[[float], None]


class Steps(NamedTuple):
    """How a run is cut: ``dt_s`` of the physics, ``every_s`` of what is kept, draws at once."""

    dt_s: float
    every_s: float
    chunk: int


@dataclass
class Draws:
    """What some draws gave. Arrays are (variants, draws) or (variants, draws, times)."""

    times_s: Floats
    series: dict[str, NDArray[np.float32]]
    worst: dict[str, tuple[str, ...]]
    alarms: dict[tuple[int, str], Fired]
    figures: Figures
    closure: float = 0.0
    notes: list[str] = field(default_factory=list)


def steps_for(site: Site, keys: Iterable[Key], question: Question) -> Steps:
    """Cut a run so that it keeps to the memory bound. Raises ``QuestionError`` where none does."""
    hours = question.duration_s / 3600
    dt_s = 5.0 if hours <= 1 else 10.0 if hours <= 6 else 15.0
    elements = sum(_count(site, kind) for kind, _ in keys)
    moment = max(1, elements) * 4 * question.variants
    samples = min(SAMPLES, question.duration_s // dt_s)
    chunk = int(min(question.draws, max(1, MEMORY_BYTES // (moment * samples)), 32))
    if moment * samples > MEMORY_BYTES:
        samples = MEMORY_BYTES // moment
        if samples < min(LEAST_SAMPLES, question.duration_s // dt_s):
            raise QuestionError(
                "record", "the site is too large for so many quantities at once; record fewer"
            )
    every_s = dt_s * max(1, int(np.ceil(question.duration_s / dt_s / samples)))
    return Steps(dt_s, every_s, chunk)


def _count(site: Site, kind: str) -> int:
    return 1 if kind == "site" else site.count(kind)


def simulate(
    twin: Twin,
    state: TwinState,
    drive: Drive,
    question: Question,
    *,
    wanted: tuple[Wanted, ...],
    watches: list[Watch],
    residuals: dict[Key, float],
    progress: Progress | None = None,
) -> Draws:
    """Run every draw and judge it. ``progress`` gets the share done, and may raise to stop.

    ``residuals`` are standard deviations of measured less predicted by (kind, quantity).
    Raises ``SiteError`` for a change of something that is not there.
    """
    schedule = Schedule(question.scheduled())
    schedule.check(twin.site)
    keys = {(w.kind, w.quantity) for w in wanted} | {k for w in watches for k in w.keys}
    available = set(twin.values(state, drive))
    keys = (keys & available) | figure_keys(available)
    steps = steps_for(twin.site, keys, question)
    parts: list[Draws] = []
    for number, (size, skip) in enumerate(_chunks(question.draws, steps.chunk)):
        rng = np.random.default_rng([question.seed, number])
        done = number * steps.chunk / question.draws
        share = size / question.draws
        parameters = drawn(twin.parameters, size, question.variants, rng, skip=skip)
        one = twin if parameters is twin.parameters else twin.with_parameters(parameters)
        members = size * question.variants
        trajectory = one.run(
            state.repeated(members),
            drive.repeated(members),
            schedule,
            duration_s=question.duration_s,
            dt_s=steps.dt_s,
            record=sorted(keys),
            every_s=steps.every_s,
            variants=question.variants,
            progress=_part(progress, done, share),
        )
        parts.append(_judged(trajectory, wanted, watches, residuals, rng, size, skip))
    return joined(parts)


def _chunks(draws: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Sizes, and how many of each keep the constants as they are: the first draw of all."""
    for start in range(0, draws, chunk):
        yield min(chunk, draws - start), 1 if start == 0 else 0


def _part(progress: Progress | None, done: float, share: float) -> Progress | None:
    return None if progress is None else lambda part: progress(done + share * part)


def drawn(
    parameters: Parameters, size: int, variants: int, rng: np.random.Generator, *, skip: int
) -> Parameters:
    """Parameters of ``variants`` times the same ``size`` draws; the given ones for one draw."""
    if size == 1 and skip == 1:
        return parameters
    return parameters.drawn(size, rng, skip=skip).tiled(variants)


def _judged(
    trajectory: Trajectory,
    wanted: tuple[Wanted, ...],
    watches: list[Watch],
    residuals: dict[Key, float],
    rng: np.random.Generator,
    draws: int,
    skip: int,
) -> Draws:
    series: dict[str, NDArray[np.float32]] = {}
    worst: dict[str, tuple[str, ...]] = {}
    for one in wanted:
        values = trajectory.values.get((one.kind, one.quantity))
        if values is None:
            continue
        if one.row is not None:
            line = values[:, :, one.row]
        else:
            line = getattr(np, f"nan{one.aggregate}")(values, axis=2)
            if one.aggregate in ("max", "min"):
                worst[one.name] = _worst(trajectory, one, draws)
        series[one.name] = line.T.reshape(trajectory.variants, draws, -1)
    alarms = {}
    for watch in watches:
        if all(key in trajectory.values for key in watch.keys):
            alarms.update(fired(watch, trajectory, residuals, rng, draws=draws, skip=skip))
    return Draws(
        trajectory.times_s,
        series,
        worst,
        alarms,
        figures_of(trajectory, draws),
        trajectory.closure,
        list(trajectory.notes),
    )


def _worst(trajectory: Trajectory, one: Wanted, draws: int) -> tuple[str, ...]:
    """The asset with the highest (lowest) value of the first draw, by variant."""
    values = trajectory.values[one.kind, one.quantity]
    pick = np.nanargmax if one.aggregate == "max" else np.nanargmin
    tags = trajectory.site.tags(one.kind)
    found = []
    for variant in range(trajectory.variants):
        first = values[:, variant * draws, :]
        found.append("" if np.isnan(first).all() else tags[int(pick(first)) % first.shape[1]])
    return tuple(found)


def joined(parts: list[Draws]) -> Draws:
    """The draws of several chunks, one after another; an alarm unknown to a chunk never fired."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    variants = first.figures.variants
    alarms: dict[tuple[int, str], Fired] = {}
    for key in dict.fromkeys(key for part in parts for key in part.alarms):
        known = next(part.alarms[key] for part in parts if key in part.alarms)
        never = [np.full((variants, part.figures.draws), np.nan) for part in parts]
        alarms[key] = known._replace(
            raised_s=_beside(
                part.alarms[key].raised_s if key in part.alarms else empty
                for part, empty in zip(parts, never, strict=True)
            ),
            cleared_s=_beside(
                part.alarms[key].cleared_s if key in part.alarms else empty
                for part, empty in zip(parts, never, strict=True)
            ),
        )
    return Draws(
        first.times_s,
        {name: np.concatenate([part.series[name] for part in parts], 1) for name in first.series},
        first.worst,
        alarms,
        Figures.joined([part.figures for part in parts]),
        max(part.closure for part in parts),
        list(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _beside(arrays: Iterable[Floats]) -> Floats:
    return np.concatenate(list(arrays), axis=1)
