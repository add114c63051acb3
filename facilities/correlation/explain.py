"""A match in words and as a curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .core import Floats, _centred
from .graph import Steps


def sentence(
    *,
    r: float,
    basis: str,
    lag_s: float,
    effective: float,
    steps: Steps | None,
    path: Sequence[str],
) -> str:
    """Say in one sentence why a point is listed."""
    way = "with" if r > 0 else "against"
    size = f"moves {way} it" if basis == "level" else f"changes {way} it"
    when = (
        "at the same time"
        if lag_s == 0
        else f"{duration(abs(lag_s))} {'later' if lag_s > 0 else 'earlier'}"
    )
    if steps is None:
        where = "not connected to it in the plant model"
    elif steps.distance == 0:
        where = "on the same asset"
    else:
        links = "link" if steps.distance == 1 else "links"
        where = f"{steps.distance} {links} away ({' → '.join(path)})"
    return f"{size}, {when}; r = {r:+.2f} over {effective:.0f} independent pairs; {where}"


def duration(seconds: float) -> str:
    """Write a duration as people say it: 40 s, 3 min, 2 min 30 s."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def overlay(values: Floats, lag: int, r: float) -> list[float | None]:
    """Standard deviations, shifted back by the lag, turned over when r < 0; None is a gap."""
    scaled = _centred(values) * (1.0 if r >= 0 else -1.0)
    shifted = np.full_like(scaled, np.nan)
    if lag >= 0:
        shifted[: len(scaled) - lag] = scaled[lag:]
    else:
        shifted[-lag:] = scaled[:lag]
    return [None if not np.isfinite(value) else round(float(value), 3) for value in shifted]
