"""Arithmetic over several points: ``{this} - {crac-1.supply_c}``, checked and safe.

The language is that of derived points (``facilities/converters/expression.py``). In a template for
a kind of asset, ``{this}`` is the point the rule stands on and ``{this.power_w}`` another quantity
of the same asset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from facilities.alarms.samples import Sample
from facilities.converters.expression import ExpressionError, parse_expression

from .base import Kind, number

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair, Watched

MAX_AGE_S: Final = 60.0
"""Inputs further apart than this make no value; assumed: ten times a usual sampling interval."""

_THIS: Final = re.compile(r"\{this(\.[a-z0-9_]+)?\}")


def text_for(expression: str, point: Watched) -> str:
    """Return the expression with ``{this}`` and ``{this.quantity}`` replaced by tags."""
    return _THIS.sub(
        lambda found: "{" + (f"{point.asset}{found[1]}" if found[1] else point.tag) + "}",
        expression,
    )


class ExpressionRule(Kind):
    """Value of an expression at the newest of its inputs' times. Bad inputs make no value."""

    name = "expression"
    unit = "result"
    keys = ("expression", "max_age_s", "unit")

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return one sample. No query: the inputs were read with the points."""
        found: list[Sequence[Sample]] = []
        for pair in pairs:
            newest = {
                tag: samples[-1] for tag, pk in pair.inputs.items() if (samples := context.good(pk))
            }
            found.append(())
            if len(newest) < len(pair.inputs) or not newest:
                continue
            times = [sample.ts for sample in newest.values()]
            apart_s = (max(times) - min(times)).total_seconds()
            if apart_s > float(pair.rule.parameters.get("max_age_s", MAX_AGE_S)):
                continue
            text = text_for(pair.rule.parameters["expression"], pair.point)
            try:
                value = parse_expression(text).evaluate({tag: s.value for tag, s in newest.items()})
            except ExpressionError:
                continue  # a division by zero now: no value, no alarm
            worst = max(sample.quality for sample in newest.values())
            found[-1] = (Sample(max(times), value, worst),)
        return found

    def inputs(
        self, parameters: Mapping[str, Any], point: Watched, by_tag: Mapping[str, Watched]
    ) -> dict[str, int]:
        """Return every point of the text by tag. Raises ``ValueError`` naming the missing one."""
        tags = parse_expression(text_for(parameters["expression"], point)).inputs(by_tag)
        missing = [tag for tag in tags if tag not in by_tag]
        if missing:
            raise ValueError(
                f"point {point.tag}: the expression reads {missing[0]}, which is not in the data list"
            )
        return {tag: by_tag[tag].id for tag in tags}

    def problems(self, parameters: Any) -> list[str]:
        """Check that the text is an expression."""
        found = super().problems(parameters)
        if found:
            return found
        text = parameters.get("expression")
        if not isinstance(text, str) or not text.strip():
            return ['give "expression", for example {"expression": "{this} - {crac-1.supply_c}"}']
        try:
            parse_expression(_THIS.sub("{a.b}", text))
        except ExpressionError as error:
            found.append(f"expression: {error}")
        return found + number(parameters, "max_age_s", MAX_AGE_S, 1.0, 86400.0)
