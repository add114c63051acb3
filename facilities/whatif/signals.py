"""What a rule looks at, for all draws at once: the lagged reading, its slope, an expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from facilities.alarms.kinds.expression import text_for
from facilities.alarms.kinds.rate import WINDOW_S
from facilities.alarms.table import Pair
from facilities.converters.expression import parse_expression
from facilities.twin.drive import Key
from facilities.twin.site import Floats, Site
from facilities.twin.trajectory import Trajectory

MAX_PAIRS: Final = 2_000
"""Points of one expression rule that are followed: each costs a pass of its own."""

Signal = NDArray[np.float64]


def lagged(values: NDArray[np.floating[Any]], times_s: Floats, tau_s: Floats) -> Signal:
    """What instruments with time constants ``tau_s`` (points,) read of (times, members, points).

    First-order lag, exact for a value that moves in straight lines between the moments; at the
    start the reading has caught up.
    """
    read = np.array(values, dtype=np.float64)
    slow = np.flatnonzero(tau_s > 0)
    if not len(slow) or len(times_s) < 2:
        return read
    tau, lag = tau_s[slow], np.zeros((read.shape[1], len(slow)))
    true = read[:, :, slow]
    steps = np.diff(times_s)[:, None]
    keep = np.exp(-steps / tau)
    gained = np.diff(true, axis=0) * (tau / steps * (1.0 - keep))[:, None, :]
    lags = np.empty_like(gained)
    for k in range(len(steps)):
        lag = keep[k] * lag + gained[k]
        lags[k] = lag
    read[1:, :, slow] = true[1:] - lags
    return read


def rate_signal(read: Signal, times_s: Floats, parameters: Mapping[str, Any]) -> Signal:
    """Least-squares slope per minute over the rule's window.

    Before the start the value is taken as steady, which understates a slope that already was.
    """
    if len(times_s) < 2:
        return np.zeros_like(read)
    step = float(times_s[1] - times_s[0])
    count = max(2, round(float(parameters.get("window_s", WINDOW_S)) / step) + 1)
    padded = np.concatenate([np.repeat(read[:1], count - 1, axis=0), read])
    centred = (np.arange(count) - (count - 1) / 2) * step / 60.0
    weights = centred / np.sum(centred**2)
    windows = sliding_window_view(padded, count, axis=0)
    slope = np.asarray(windows @ weights)
    return np.abs(slope) if parameters.get("direction") == "either" else slope


def expression_keys(pairs: Sequence[Pair], site: Site) -> tuple[Key, ...]:
    """The (kind, quantity) of every point that the expressions read."""
    found: dict[Key, None] = {}
    for pair in pairs:
        for tag in pair.inputs:
            asset, _, quantity = tag.rpartition(".")
            place = site.place.get(asset)
            found[place.kind if place else "unknown", quantity] = None
    return tuple(found)


def expression_signal(pairs: Sequence[Pair], trajectory: Trajectory) -> Signal:
    """The expression of every pair, (times, members, pairs); NaN where it has no value."""
    columns = []
    for pair in pairs:
        parsed = parse_expression(text_for(pair.rule.parameters["expression"], pair.point))
        lines = {tag: _line(tag, trajectory) for tag in pair.inputs}
        names: dict[str, Any] = {}
        for name, reference in parsed.names.items():
            if reference in lines:
                names[name] = lines[reference]
            else:
                fitting = parsed.inputs(lines)
                names[name] = tuple(lines[tag] for tag in fitting if tag not in parsed.tags)
        shape = next(iter(lines.values())).shape
        try:
            with np.errstate(all="ignore"):
                made = eval(parsed.code, {"__builtins__": {}, **_FUNCTIONS}, names)  # noqa: S307 - checked when parsed
            columns.append(np.broadcast_to(np.asarray(made, dtype=np.float64), shape))
        except (ArithmeticError, ValueError, TypeError):
            # and, or, if have no meaning for many values at once: then no value, no alarm
            columns.append(np.full(shape, np.nan))
    return np.stack(columns, axis=2)


def _line(tag: str, trajectory: Trajectory) -> Signal:
    asset, _, quantity = tag.rpartition(".")
    place = trajectory.site.locate(asset)
    return trajectory.values[place.kind, quantity][:, :, place.row].astype(np.float64)


def _many(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(first: Any, *rest: Any) -> Any:
        values: Iterable[Any] = first if isinstance(first, tuple) else (first, *rest)
        return function(np.broadcast_arrays(*values), axis=0)

    return call


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "sum": _many(np.sum),
    "mean": _many(np.mean),
    "min": _many(np.min),
    "max": _many(np.max),
    "count": lambda first, *rest: len(first) if isinstance(first, tuple) else 1 + len(rest),
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "round": lambda value, digits=0.0: np.round(value, int(digits)),
}
