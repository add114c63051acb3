"""ASHRAE TC 9.9 envelopes of air entering IT equipment, as data.

The recommended range of 18…27 °C and the change of at most 5 K in 15 minutes were read in
secondary sources that quote ASHRAE; the allowable classes are recalled from the TC 9.9 thermal
guidelines and were not checked against the printed table. Check them before an audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from facilities.twin.site import Flags, Floats


@dataclass(frozen=True, slots=True)
class Envelope:
    """A range of inlet air; ``confirmed`` tells whether the figures were read in a source."""

    name: str
    low_c: float
    high_c: float
    low_dew_c: float
    high_dew_c: float
    high_rh_pct: float
    source: str
    confirmed: bool


_CLASSES = "ASHRAE TC 9.9 thermal guidelines, equipment classes; recalled, not checked"

ENVELOPES: Final = {
    envelope.name: envelope
    for envelope in (
        Envelope("recommended", 18, 27, -9, 15, 60, "ASHRAE TC 9.9, quoted by a vendor", True),
        Envelope("A1", 15, 32, -12, 17, 80, _CLASSES, False),
        Envelope("A2", 10, 35, -12, 21, 80, _CLASSES, False),
        Envelope("A3", 5, 40, -12, 24, 85, _CLASSES, False),
        Envelope("A4", 5, 45, -12, 24, 90, _CLASSES, False),
    )
}
"""By name: the recommended range and the allowable classes."""

RATE_K_PER_15_MIN: Final = 5.0
"""Change of inlet air that ASHRAE 2015 allows within 15 minutes, as a vendor quotes it."""


def envelope_of(name: str) -> Envelope:
    """An envelope by name. Raises ``KeyError`` that lists the names."""
    try:
        return ENVELOPES[name]
    except KeyError:
        raise KeyError(f"no envelope {name}; known: {', '.join(ENVELOPES)}") from None


def outside(envelope: Envelope, inlet_c: Floats, dew_c: Floats, rh_pct: Floats) -> Flags:
    """Where inlet air is outside an envelope, by temperature, dew point or humidity."""
    return np.asarray(
        (inlet_c < envelope.low_c)
        | (inlet_c > envelope.high_c)
        | (dew_c < envelope.low_dew_c)
        | (dew_c > envelope.high_dew_c)
        | (rh_pct > envelope.high_rh_pct)
    )
