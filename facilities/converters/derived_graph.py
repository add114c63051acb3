"""Derived points among themselves: no cycles, and an order in which each finds its inputs done."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction

from facilities.converters.expression import Expression, ExpressionError, parse_expression

if TYPE_CHECKING:
    from facilities.models import DerivedPoint

MAX_INPUTS = 1_000
"""Points that one expression may read; assumed."""


def order_of(inputs: Mapping[str, list[str]]) -> list[str]:
    """Tags of derived points, inputs first. Raises ``ValueError`` that names the cycle."""
    graph = {tag: [name for name in names if name in inputs] for tag, names in inputs.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(" → ".join(reversed(error.args[1]))) from error


def check_derived(derived: DerivedPoint) -> Expression:
    """Check one derived point against all others. Raises ``ValidationError``."""
    from facilities.models import DerivedPoint, Point

    tag = derived.point.tag
    try:
        expression = parse_expression(derived.expression)
    except ExpressionError as error:
        raise ValidationError({"expression": f"Derived point {tag}: {error}."}) from error
    known = set(Point.objects.values_list("tag", flat=True))
    missing = [name for name in expression.tags if name not in known]
    if missing:
        raise ValidationError(
            {
                "expression": f"Derived point {tag}: point {missing[0]} is not in the data list; "
                "add it or correct the tag."
            }
        )
    empty = [p for p in expression.patterns if not expression_matches(p, known, tag)]
    if empty:
        raise ValidationError(
            {"expression": f"Derived point {tag}: no point fits {{{empty[0]}}}; correct it."}
        )
    others = DerivedPoint.objects.exclude(pk=derived.pk).values_list("point__tag", "expression")
    inputs = {name: parse_expression(text).inputs(known) for name, text in others}
    inputs[tag] = expression.inputs(known)
    if len(inputs[tag]) > MAX_INPUTS:
        raise ValidationError(
            {
                "expression": f"Derived point {tag}: it reads {len(inputs[tag]):,} points, at most "
                f"{MAX_INPUTS:,} are allowed."
            }
        )
    try:
        order_of(inputs)
    except ValueError as error:
        raise ValidationError(
            {"expression": f"Derived point {tag}: it would depend on itself: {error}."}
        ) from error
    return expression


def expression_matches(pattern: str, known: set[str], tag: str) -> bool:
    """Whether a pattern fits any point but the derived one itself."""
    import fnmatch

    return any(name != tag for name in fnmatch.filter(known, pattern))


@transaction.atomic
def derived_save(*, derived: DerivedPoint) -> DerivedPoint:
    """Check and save a derived point with its inputs. Raises ``ValidationError``."""
    from facilities.models import DerivedInput, Point

    expression = check_derived(derived)
    derived.full_clean()
    derived.problem = ""
    derived.save()
    known = dict(Point.objects.values_list("tag", "pk"))
    wanted = {known[tag] for tag in expression.inputs(known)}
    derived.inputs.exclude(point__in=wanted).delete()
    DerivedInput.objects.bulk_create(
        [DerivedInput(derived=derived, point_id=pk) for pk in sorted(wanted)],
        ignore_conflicts=True,
    )
    return derived
