"""Which points moved with a point: lagged correlation, significance, distance in the plant.

``core``, ``significance`` and ``graph`` are pure numpy and Python; ``fetch`` reads the store;
``service`` puts them together. Pages, the API and the agent call ``correlate``.
"""

from .service import Correlation, Match, correlate, correlate_alarm

__all__ = ["Correlation", "Match", "correlate", "correlate_alarm"]
