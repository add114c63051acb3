"""Possible causes of what the agent looks at, judged by rules over facts (one module a group)."""

from approvals.agent.causes import (
    air,
    building,
    compute,
    instrument,
    network,
    power,
    water,
    wear,
)
from approvals.agent.causes.base import Hypothesis, hypotheses

__all__ = [
    "Hypothesis",
    "air",
    "building",
    "compute",
    "hypotheses",
    "instrument",
    "network",
    "power",
    "water",
    "wear",
]
