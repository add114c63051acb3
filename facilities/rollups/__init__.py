"""Rollups by minute and hour, kept incrementally and right under late data.

A commit of readings calls `mark_readings` (or `mark`) in its own transaction; `job.run` deletes
marks and recomputes what they name; `facilities.series` computes what is still marked on the fly,
so that a series is right whether or not the job has been there.
"""

from .marks import mark, mark_readings

__all__ = ["mark", "mark_readings"]
