"""The nouns of the facility, one module each."""

from .alarm import Alarm, AlarmEvent, AlarmRule, RuleState
from .asset import Asset, AssetLink
from .point import DataListVersion, Point
from .reading import LatestReading, Quality, Reading
from .site import Hall, Rack, Site
from .source import Source

__all__ = [
    "Alarm",
    "AlarmEvent",
    "AlarmRule",
    "Asset",
    "AssetLink",
    "DataListVersion",
    "Hall",
    "LatestReading",
    "Point",
    "Quality",
    "Rack",
    "Reading",
    "RuleState",
    "Site",
    "Source",
]
