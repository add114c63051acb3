"""How the pages of effects, rollbacks, drills and the team spell their figures."""

from __future__ import annotations

from math import log10
from typing import Any

from django import template

from approvals.effects.plot import EffectPlot
from approvals.effects.plot import effect_plot as plot
from approvals.honesty.drills import drill_shown as shown
from approvals.honesty.figures import Times
from approvals.models import Effect, Proposal
from approvals.services.rollback import can_roll_back as can
from approvals.templatetags.gate import unit

register = template.Library()

# The strip of decision times reaches from one second to an hour, evenly by powers of ten.
_LONGEST = log10(3600.0)


@register.filter
def effect_plot(effect: Effect) -> EffectPlot | None:
    """The drawing of a measured effect; None while it is being measured."""
    if not effect.verdict or not effect.tag:
        return None
    return plot(effect.control, threshold=effect.threshold, unit=unit(effect.unit))


@register.filter
def difference(code: str) -> str:
    """The unit of a difference: kelvin where the point is in °C."""
    return {"Cel": "K"}.get(code, unit(code))


@register.filter
def signed(value: float | None) -> str:
    """With its sign and three digits; a dash for nothing."""
    return "–" if value is None else f"{value:+.3g}".replace("-", "−")


@register.filter
def drill_shown(proposal: Proposal) -> dict[str, Any] | None:
    """What is said of a drill once it is revealed."""
    return shown(proposal)


@register.filter
def can_roll_back(proposal: Proposal) -> bool:
    return can(proposal)


@register.filter
def cut_state(state: str) -> str:
    """A state as people read it: `no_effect` → `no effect`."""
    return state.replace("_", " ")


@register.filter
def duration(seconds: float | None) -> str:
    """`8 s`, `4 min`, `3.5 h`; a dash for nothing."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@register.filter
def strip(times: Times) -> dict[str, str] | None:
    """Quartiles and median as percent of a strip from 1 s to 1 h (logarithmic); None for too few."""
    if times.median_s is None or times.low_s is None or times.high_s is None:
        return None
    low, middle, high = (_place(value) for value in (times.low_s, times.median_s, times.high_s))
    return {"low": f"{low:.1f}", "middle": f"{middle:.1f}", "width": f"{max(high - low, 0.8):.1f}"}


def _place(seconds: float) -> float:
    return 100 * min(max(log10(max(seconds, 1.0)) / _LONGEST, 0.0), 1.0)
