"""A prediction as coordinates of a small drawing, made on the server: cards come as fragments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

WIDTH, HEIGHT = 320, 120
LEFT, RIGHT, TOP, BOTTOM = 34, 4, 8, 18
LEAST_SPAN: Final = 1.0


class Tick(NamedTuple):
    """A label of an axis at a coordinate."""

    at: str
    text: str


class Plot(NamedTuple):
    """Points of SVG polygons and polylines in a view box of ``width`` x ``height``."""

    width: int
    height: int
    nothing_band: str
    acting_band: str
    nothing: str
    acting: str
    limit: str | None
    limit_text: str
    rows: list[Tick]
    columns: list[Tick]
    left: int
    right: int
    bottom: int


def plot_of(prediction: Mapping[str, Any], *, threshold: float | None) -> Plot | None:
    """Both courses with their bands and the threshold; None without a prediction."""
    if not prediction or prediction.get("problem"):
        return None
    times = prediction["times_s"]
    lines = [prediction[name] for name in ("nothing", "acting")]
    values = [value for line in lines for band in ("p10", "p90") for value in line[band]]
    low, high = min(values), max(values)
    if threshold is not None and low - 3 < threshold < high + 3:
        low, high = min(low, threshold), max(high, threshold)
    if high - low < LEAST_SPAN:
        low, high = (low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2
    pad = 0.06 * (high - low)
    low, high = low - pad, high + pad

    def x(seconds: float) -> float:
        return round(LEFT + seconds / times[-1] * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def line(values: list[float]) -> str:
        return " ".join(f"{x(t)},{y(v)}" for t, v in zip(times, values, strict=True))

    def band(of: Mapping[str, Any]) -> str:
        back = " ".join(
            f"{x(t)},{y(v)}" for t, v in reversed(list(zip(times, of["p10"], strict=True)))
        )
        return f"{line(of['p90'])} {back}"

    shown = threshold is not None and low <= threshold <= high
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 1e9) if (high - low) / s <= 5)
    first = -(-low // step) * step
    rows = [first + k * step for k in range(int((high - first) // step) + 1)]
    minutes = times[-1] / 60
    every = next(m for m in (1, 5, 10, 30, 60, 1e9) if minutes / m <= 4)
    return Plot(
        WIDTH,
        HEIGHT,
        band(lines[0]),
        band(lines[1]),
        line(lines[0]["p50"]),
        line(lines[1]["p50"]),
        str(y(threshold)) if threshold is not None and shown else None,
        f"{threshold:g}" if threshold is not None else "",
        [Tick(str(y(value)), f"{value:g}") for value in rows],
        [
            Tick(str(x(60 * m * every)), f"{m * every:g} min")
            for m in range(int(minutes // every) + 1)
        ],
        LEFT,
        WIDTH - RIGHT,
        HEIGHT - BOTTOM,
    )
