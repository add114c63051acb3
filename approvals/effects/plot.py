"""A measured effect as coordinates of a small drawing, made on the server: cards come as fragments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

WIDTH, HEIGHT = 320, 120
LEFT, RIGHT, TOP, BOTTOM = 34, 4, 8, 18
LEAST_SPAN: Final = 1.0


class Tick(NamedTuple):
    """A label of an axis at a coordinate."""

    at: str
    text: str


class EffectPlot(NamedTuple):
    """Points of SVG polygons and polylines in a view box of ``width`` x ``height``. ``wrote`` is
    where the first write was sent.
    """

    width: int
    height: int
    measured: str
    control: str
    control_band: str
    predicted: str
    predicted_band: str
    limit: str | None
    limit_text: str
    wrote: str
    rows: list[Tick]
    columns: list[Tick]
    left: int
    right: int
    bottom: int


def effect_plot(
    control: Mapping[str, Any], *, threshold: float | None, unit: str
) -> EffectPlot | None:
    """Measured, control with its 90 % band, the signed prediction and the promise; None where
    nothing was recorded.
    """
    course = control.get("course") or {}
    times, measured = course.get("t") or [], course.get("measured") or []
    if len(times) < 2:
        return None
    bands = [row for name in ("control", "predicted") for row in course.get(name) or []]
    values = [*measured, *(value for row in bands for value in row[1:])]
    if threshold is not None:
        values.append(threshold)
    low, high = _range(values)
    first, last = min(times[0], 0.0), max(times[-1], 1.0)

    def x(t: float) -> float:
        return LEFT + (t - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def line(rows: Sequence[Sequence[float]], column: int = 1) -> str:
        return " ".join(f"{x(row[0]):.1f},{y(row[column]):.1f}" for row in rows)

    def band(rows: Sequence[Sequence[float]]) -> str:
        return f"{line(rows, 2)} {line(rows[::-1], 3)}" if rows else ""

    controls, predicted = course.get("control") or [], course.get("predicted") or []
    return EffectPlot(
        width=WIDTH,
        height=HEIGHT,
        measured=line(list(zip(times, measured, strict=True))),
        control=line(controls),
        control_band=band(controls),
        predicted=line(predicted),
        predicted_band=band(predicted),
        limit=None if threshold is None else f"{y(threshold):.1f}",
        limit_text="" if threshold is None else f"{threshold:g} {unit}".rstrip(),
        wrote=f"{x(0.0):.1f}",
        rows=[Tick(f"{y(v):.1f}", f"{v:.3g}") for v in (low, (low + high) / 2, high)],
        columns=[Tick(f"{x(t):.1f}", text) for t, text in _moments(first, last)],
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    missing = LEAST_SPAN - (high - low)
    if missing > 0:
        low, high = low - missing / 2, high + missing / 2
    pad = (high - low) * 0.06
    return low - pad, high + pad


def _moments(first: float, last: float) -> list[tuple[float, str]]:
    """The write, and the end in seconds or minutes after it."""
    end = f"+{last:.0f} s" if last < 180 else f"+{last / 60:.0f} min"
    marks = [(0.0, "write"), (last, end)]
    if first < -0.25 * last:
        start = f"{first:.0f} s" if first > -180 else f"{first / 60:.0f} min"
        marks.insert(0, (first, start.replace("-", "−")))
    return marks
