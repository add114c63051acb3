"""State of a part of the twin: arrays with an ensemble axis, copied and stored as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from .site import Floats

Key = tuple[str, str]
Values = dict[Key, Floats]
"""True values by (kind, quantity), each of shape (members, assets)."""


@dataclass
class PartState:
    """Base of the parts' states: every field is an array of shape (members, …), changed in place
    or replaced by a step.
    """

    @property
    def members(self) -> int:
        """Length of the ensemble axis."""
        first = next(iter(self.__dataclass_fields__))  # dataclasses.fields() is slow in a step
        return int(getattr(self, first).shape[0])

    def repeated(self, members: int) -> Self:
        """A copy with ``members`` members, each a copy of the first."""
        return type(self)(
            **{
                field.name: np.repeat(getattr(self, field.name)[:1], members, axis=0)
                for field in dataclasses.fields(self)
            }
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every field by name, for storing."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of ``to_arrays``. Raises ``KeyError`` for a missing field."""
        return cls(
            **{field.name: np.array(arrays[field.name]) for field in dataclasses.fields(cls)}
        )
