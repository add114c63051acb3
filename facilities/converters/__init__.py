"""From foreign series to points of the data list: names, units, texts, counters, derived values."""

from facilities.converters.conversion import convert, convert_current, ready

__all__ = ["convert", "convert_current", "ready"]
