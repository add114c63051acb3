"""What an executed proposal did: the point it promised to move, against what it would have done.

Three questions, kept apart: did the promise come true, did the writes bring that about (measured
less control, with an interval), and can the data carry an answer at all. `docs/effects.md` states
the method and its sources.
"""

from approvals.effects.measure import METER, effect_measure
from approvals.effects.opening import effect_abandon, effect_open
from approvals.effects.verdict import Measurement

__all__ = ["METER", "Measurement", "effect_abandon", "effect_measure", "effect_open"]
