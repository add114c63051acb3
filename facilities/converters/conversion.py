"""One request of samples → a batch whose points are known.

Steady state: one dictionary look-up per distinct series, numpy for the rest. Texts, value maps
and counters are handled sample by sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facilities.converters import counters
from facilities.converters.register import register_unknown
from facilities.converters.resolution import Kind, Resolution, Target, resolution_of
from facilities.ingest.points import PointColumns, point_table
from facilities.ingest.samples import Batch, Floats, Rejected, Samples


class SourceLike(Protocol):
    """What conversion needs of a sender."""

    @property
    def source_id(self) -> int:
        """Primary key of the source."""

    @property
    def auto_register(self) -> bool:
        """Whether unknown series become unverified points."""


def ready(requests: Sequence[tuple[SourceLike, Samples]], columns: PointColumns) -> PointColumns:
    """The data list to convert these requests with, after registering what may be registered.

    The same object when there is nothing to do. Registers in a transaction of its own, before the
    readings: a crash between the two leaves a point without readings, never the reverse.
    """
    made = False
    for sender, samples in requests:
        if sender.auto_register and len(samples):
            made |= register_unknown(sender.source_id, samples, columns) > 0
    if not made:
        return columns
    current = point_table(None)
    for source_id in {sender.source_id for sender, _ in requests if sender.auto_register}:
        resolution_of(source_id, current).adopt(resolution_of(source_id, columns))
    return current


def convert(sender: SourceLike, samples: Samples, columns: PointColumns) -> Batch:
    """Resolve and convert every sample; what cannot be is rejected with its reason.

    ``bad_value``: a text that no value map knows. ``unknown_point``, ``bad_mapping``, ``bad_unit``,
    ``bad_series``: the series leads to no point. A counter's first sample gives no rate and is not
    rejected. Asks the database for a source's first request at a version of the data list and for
    counters (two statements each). Stale markers pass through unchanged.
    """
    rejected = list(samples.rejected)
    if not len(samples):
        none = np.empty(0, np.int32)
        return Batch(none, samples.ts_us, samples.value, samples.index, rejected)
    resolution = resolution_of(sender.source_id, columns)
    ids = resolution.ids(samples.names, samples.hints)
    tables, targets = resolution.tables, resolution.targets
    place = ids[samples.series]
    row, value = tables.row[place], samples.value
    if tables.scaled[ids].any():
        value = _scaled(value, tables.scale[place], tables.offset[place])
    if not tables.kind[ids].any() and not samples.text:
        return Batch(row, samples.ts_us, value, samples.index, rejected)
    value = value.copy() if value is samples.value else value
    kind = tables.kind[place]
    keep = kind == Kind.PLAIN
    for at in np.flatnonzero(kind == Kind.UNKNOWN).tolist():
        rejected.append(_unknown(samples, at, targets[place[at]]))
    _texts(resolution, samples, place, keep, value, rejected)
    counting = kind == Kind.COUNTER
    if samples.text:
        counting[list(samples.text)] = False
    if counting.any():
        # Stale markers and NaN are no counts: they go on as they are, for validation to judge.
        keep |= counting & ~np.isfinite(samples.value)
        rates = counters.rates(sender.source_id, samples, np.flatnonzero(counting), place, targets)
        value[rates.position] = _scaled(
            rates.per_s, tables.scale[place[rates.position]], tables.offset[place[rates.position]]
        )
        keep[rates.position] = True
        rejected += rates.rejected
    return Batch(row[keep], samples.ts_us[keep], value[keep], samples.index[keep], rejected)


def _scaled(value: Floats, scale: Floats, offset: Floats) -> Floats:
    """Scale, leaving every NaN bit for bit: arithmetic would turn a stale marker into another."""
    with np.errstate(invalid="ignore"):
        made = value * scale + offset
    nan = np.isnan(value)
    if nan.any():
        made[nan] = value[nan]
    return made


def _unknown(samples: Samples, at: int, target: Target) -> Rejected:
    return Rejected(int(samples.index[at]), target.code, target.detail, samples.raw(at))


def _texts(
    resolution: Resolution,
    samples: Samples,
    place: npt.NDArray[np.intp],
    keep: npt.NDArray[np.bool_],
    value: Floats,
    rejected: list[Rejected],
) -> None:
    """Give numbers to texts and to samples with a value map; ``keep`` and ``value`` change."""
    kind = resolution.tables.kind[place]
    mapped = set(np.flatnonzero(kind == Kind.VALUES).tolist())
    mapped |= {at for at in samples.text if kind[at] not in (Kind.UNKNOWN, Kind.DROPPED)}
    for at in sorted(mapped):
        target = resolution.targets[place[at]]
        number = _number(resolution, samples, at, target)
        keep[at] = number is not None
        if number is not None:
            value[at] = number
            continue
        said = samples.text.get(at)
        shown = ascii(said[:60]) if said is not None else f"{samples.value[at]:g}"
        rejected.append(
            Rejected(
                int(samples.index[at]),
                "bad_value",
                f"point {target.tag}: {shown} is "
                + (
                    f"not among the values of {target.rule}"
                    if target.rule is not None and target.rule.values is not None
                    else "not a number; map it with values in the source's converter"
                ),
                samples.raw(at),
            )
        )


def _number(resolution: Resolution, samples: Samples, at: int, target: Target) -> float | None:
    said = samples.text.get(at)
    rule = target.rule
    if rule is not None and rule.values is not None:
        key = said if said is not None else f"{samples.value[at]:g}"
        found = rule.values.get(key)
        if found is None:
            found = rule.values.get(key.strip().lower())
        return rule.other if found is None else found
    if said is None or target.kind == Kind.COUNTER:
        return None
    return resolution.names_of_values(target.row).get(said.strip().lower())


def convert_current(
    sender: SourceLike, samples: Samples, columns: PointColumns | None = None
) -> tuple[PointColumns, Batch]:
    """``ready`` and ``convert`` of one request, with the data list that its rows refer to."""
    columns = ready([(sender, samples)], point_table(None) if columns is None else columns)
    return columns, convert(sender, samples, columns)
