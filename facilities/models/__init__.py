"""The nouns of the facility, one module each."""

from .alarm import Alarm, AlarmEvent, AlarmRule, RuleState
from .alarm_policy import AlarmPolicy, Envelope
from .anomaly import AnomalyEvent, AnomalyScore, AnomalyWorker
from .asset import Asset, AssetLink
from .converter import Converter, CounterState, DerivedInput, DerivedPoint, SourceSeries
from .maintenance import MaintenanceWindow, Shelf
from .notify import (
    Delivery,
    Escalation,
    EscalationChain,
    EscalationStep,
    NotificationChannel,
)
from .point import DataListVersion, Point
from .process import ProcessRun
from .quality import (
    CapacityMeasure,
    PointQuality,
    QualityLimit,
    QualityTrend,
    RedundancyGroup,
    SourceFlow,
)
from .quarantine import QuarantinedItem, QuarantineDrops, QuarantineState
from .reading import LatestReading, Quality, Reading
from .rollup import Level, Rollup1h, Rollup1m, RollupMark
from .site import Hall, Rack, Site
from .snapshot import Barrier
from .source import Source, SourceMessage
from .tracking import TwinAccuracy, TwinFinding, TwinTracker
from .whatif import WhatIfRun, WhatIfState

__all__ = [
    "Alarm",
    "AlarmEvent",
    "AlarmPolicy",
    "AlarmRule",
    "AnomalyEvent",
    "AnomalyScore",
    "AnomalyWorker",
    "Asset",
    "AssetLink",
    "Barrier",
    "CapacityMeasure",
    "Converter",
    "CounterState",
    "DataListVersion",
    "Delivery",
    "DerivedInput",
    "DerivedPoint",
    "Envelope",
    "Escalation",
    "EscalationChain",
    "EscalationStep",
    "Hall",
    "LatestReading",
    "Level",
    "MaintenanceWindow",
    "NotificationChannel",
    "Point",
    "PointQuality",
    "ProcessRun",
    "Quality",
    "QualityLimit",
    "QualityTrend",
    "QuarantineDrops",
    "QuarantineState",
    "QuarantinedItem",
    "Rack",
    "Reading",
    "RedundancyGroup",
    "Rollup1h",
    "Rollup1m",
    "RollupMark",
    "RuleState",
    "Shelf",
    "Site",
    "Source",
    "SourceFlow",
    "SourceMessage",
    "SourceSeries",
    "TwinAccuracy",
    "TwinFinding",
    "TwinTracker",
    "WhatIfRun",
    "WhatIfState",
]
