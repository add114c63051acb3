"""Values over time: one point or a wall of points, raw or summed up, never more than asked for."""

from .read import (
    MAX_SERIES_POINTS,
    MAX_WALL_POINTS,
    METHODS,
    Series,
    TooMany,
    point_series,
    wall_series,
)

__all__ = [
    "MAX_SERIES_POINTS",
    "MAX_WALL_POINTS",
    "METHODS",
    "Series",
    "TooMany",
    "point_series",
    "wall_series",
]
