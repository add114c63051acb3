"""Anomaly detection: one online detector for every point, and the worker that feeds it.

``detector`` (with ``records`` and ``season``) is pure numpy; ``worker`` reads committed readings
and ``store`` writes what the detector says. See docs/anomaly-and-correlation.md.
"""

from .scale import THRESHOLD, score01

__all__ = ["THRESHOLD", "score01"]
