"""Units: UCUM codes as the data list has them, converted by pint.

The registry takes about a second to build, so it is made at the first use: never while a process
starts and never for a source whose units agree.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pint import Quantity, UnitRegistry

SPELLINGS: Final = {
    "degrees_c": "Cel",
    "degrees_celsius": "Cel",
    "celsius": "Cel",
    "°C": "Cel",
    "C": "Cel",
    "degrees_f": "[degF]",
    "°F": "[degF]",
    "F": "[degF]",
    "kelvin": "K",
    "watts": "W",
    "watt": "W",
    "volts": "V",
    "volt": "V",
    "amps": "A",
    "amp": "A",
    "hertz": "Hz",
    "percent": "%",
    "pct": "%",
    "rpm": "/min",
    "RPM": "/min",
    "seconds": "s",
    "bytes": "By",
    "joules": "J",
    "VA": "V.A",
    "kVA": "kV.A",
    "Wh": "W.h",
    "kWh": "kW.h",
    "cfm": "[cft_i]/min",
    "psi": "[psi]",
    "inH2O": "[in_i'H2O]",
    "mW": "mW",
    "MHz": "MHz",
}
"""How agents write units that UCUM spells otherwise. ``C`` and ``F`` are coulomb and farad in UCUM;
no sensor of a data centre reports those."""


class UnitError(ValueError):
    """A unit that is none, or two that cannot be converted into one another."""


class Linear(NamedTuple):
    """``value * scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0

    def then(self, other: Linear) -> Linear:
        """This one first, then the other."""
        return Linear(self.scale * other.scale, self.offset * other.scale + other.offset)


SAME: Final = Linear()


@lru_cache(maxsize=1)
def _registry() -> UnitRegistry:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


@lru_cache(maxsize=4_096)
def ucum(unit: str) -> str:
    """The UCUM code of a unit as agents write it. Raises ``UnitError`` for what is no unit."""
    code = SPELLINGS.get(unit.strip(), unit.strip())
    if code in ("", "1"):
        return code or "1"
    if code.startswith("{") and code.endswith("}"):  # UCUM's annotations mean the number one
        return "1"
    _parse(code)
    return code


@lru_cache(maxsize=4_096)
def _parse(code: str) -> Quantity:
    if len(code) > 40:
        raise UnitError(f"unit {code[:40]!r}… is too long for a unit")
    try:
        made: Quantity = _registry().from_ucum(code)  # type: ignore[operator]  # a function
        return made
    except Exception as error:  # the parser raises a different kind for each kind of nonsense
        raise UnitError(
            f"unit {code!r} is no UCUM code; write Cel, W, %, Pa, V, A, L/s, 1 …"
        ) from error


@lru_cache(maxsize=4_096)
def conversion(given: str, wanted: str) -> Linear:
    """How a number in ``given`` becomes one in ``wanted``; both UCUM or an agent's spelling.

    A linear function is exact for every unit a sensor reports; logarithmic units (dB) convert only
    to themselves. Raises ``UnitError``.
    """
    start, end = ucum(given), ucum(wanted)
    if start == end:
        return SAME
    source = _registry().Quantity(1.0) if start == "1" else _parse(start)
    target = _registry().Quantity(1.0) if end == "1" else _parse(end)
    try:
        zero, one, hundred = (
            float(
                _registry().Quantity(x * source.magnitude, source.units).to(target.units).magnitude
            )
            / float(target.magnitude)
            for x in (0.0, 1.0, 100.0)
        )
    except Exception as error:  # pint: dimensionality, offset and logarithmic units
        raise UnitError(f"{given} cannot be converted to {wanted}") from error
    scale, offset = (hundred - zero) / 100.0, zero
    if not math.isclose(one, scale + offset, rel_tol=1e-9, abs_tol=1e-9):
        raise UnitError(f"{given} to {wanted} is not linear; convert it before sending")
    return Linear(_tidy(scale), _tidy(offset))


def _tidy(number: float) -> float:
    """Undo rounding noise of the conversion: 1.7999999999999972 is 1.8."""
    return float(f"{number:.14g}")


def is_unit(unit: str) -> bool:
    """Whether a text is a unit; an empty one is (no dimension declared)."""
    try:
        ucum(unit)
    except UnitError:
        return False
    return True
