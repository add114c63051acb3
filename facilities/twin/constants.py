"""Constants with their source, and draws of the uncertain ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from .site import Floats


def constant(value: float, source: str, *, spread: float = 0.0) -> Any:
    """A dataclass field: a physical constant, where it comes from, and how uncertain it is.

    ``source`` is a citation, or a reason that begins with ``assumed``. ``spread`` is the relative
    standard deviation used for draws; 0 is taken as exactly known.
    """
    return dataclasses.field(default=value, metadata={"source": source, "spread": spread})


class Constant(NamedTuple):
    """One constant as pages show it."""

    name: str
    value: float
    source: str
    spread: float


@dataclass(frozen=True)
class Constants:
    """Base of each part's parameters.

    A field is a float, or an array that broadcasts against (members, assets): the online estimates
    are of shape (1, assets), draws of shape (members, 1).
    """

    def listed(self) -> list[Constant]:
        """Every constant with its source; an estimated one shows its mean."""
        return [
            Constant(
                field.name,
                float(np.mean(getattr(self, field.name))),
                field.metadata["source"],
                field.metadata["spread"],
            )
            for field in dataclasses.fields(self)
        ]

    def replaced(self, **changes: float | Floats) -> Self:
        """A copy with some constants changed."""
        return dataclasses.replace(self, **changes)

    def arrays(self) -> Self:
        """A copy in which numbers are arrays without axes, which NumPy takes in half the time."""
        fields = dataclasses.fields(self)
        return self.replaced(**{one.name: np.asarray(getattr(self, one.name)) for one in fields})

    def drawn(self, size: int, rng: np.random.Generator, *, skip: int = 1) -> Self:
        """A copy whose uncertain constants vary by member, lognormal around their value.

        The first ``skip`` members keep the value itself.
        """
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            spread = field.metadata["spread"]
            if spread > 0:
                factor = np.exp(spread * rng.standard_normal((size, 1)))
                factor[:skip] = 1.0
                changes[field.name] = np.asarray(getattr(self, field.name)) * factor
        return dataclasses.replace(self, **changes)
