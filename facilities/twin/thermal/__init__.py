"""Thermal model: air of the halls, CRACs and CDUs, chilled water, chillers and towers."""

from .constants import ThermalConstants
from .envelope import ENVELOPES, Envelope, envelope_of
from .model import Thermal
from .state import ThermalState
from .transient import first_crossing_s, time_to

__all__ = [
    "ENVELOPES",
    "Envelope",
    "Thermal",
    "ThermalConstants",
    "ThermalState",
    "envelope_of",
    "first_crossing_s",
    "time_to",
]
