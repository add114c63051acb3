"""Arithmetic over points: ``{hall-1.facility_power_w} / {hall-1.it_power_w}``, checked and safe.

A text is parsed by Python's own grammar, every node is compared with a list of what is allowed
(numbers, points in braces, + - * / % **, comparisons, and/or/not, ``a if c else b``, the functions
below), and only then compiled, without built-ins. No attributes, no subscripts, no names but ours.
Numbers become floats, so no power can eat the memory. ``{rack-1-*.power_w}`` stands for every point
that fits, as the only argument of sum, mean, min, max or count.
"""

from __future__ import annotations

import ast
import fnmatch
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from facilities.tags import POINT_TAG

MAX_LENGTH: Final = 2_000
MAX_NODES: Final = 500

_REFERENCE: Final = re.compile(r"\{([^{}]*)\}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9_*?-]+\.[a-z0-9_*?]+\Z")
_NODES: Final = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Name,
    ast.Constant,
    ast.Load,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Mod,
    ast.Pow,
    ast.UAdd,
    ast.USub,
    ast.And,
    ast.Or,
    ast.Not,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Eq,
    ast.NotEq,
)


class ExpressionError(ValueError):
    """A text that is no expression, or one that has no value for these inputs."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _one_or_many(function: Callable[..., float]) -> Callable[..., float]:
    return lambda first, *rest: float(
        function(first if isinstance(first, tuple) else (first, *rest))
    )


def _round(value: float, digits: float = 0.0) -> float:
    return float(round(value, int(digits)))


_AGGREGATES: Final[dict[str, Callable[..., float]]] = {
    "sum": _one_or_many(sum),
    "mean": _one_or_many(_mean),
    "min": _one_or_many(min),
    "max": _one_or_many(max),
    "count": _one_or_many(len),
}
FUNCTIONS: Final[dict[str, Callable[..., float]]] = {
    **_AGGREGATES,
    "abs": lambda value: abs(float(value)),
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "round": _round,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. ``tags`` are single points, ``patterns`` stand for several."""

    text: str
    tags: tuple[str, ...]
    patterns: tuple[str, ...]
    names: Mapping[str, str]
    code: CodeType

    def inputs(self, known: Iterable[str]) -> list[str]:
        """Every point it reads, patterns resolved against the tags that exist. Sorted."""
        found = set(self.tags)
        if self.patterns:
            tags = list(known)
            for pattern in self.patterns:
                found.update(fnmatch.filter(tags, pattern))
        return sorted(found)

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The value for these inputs by tag. Patterns take whichever of ``values`` fit.

        Raises ``ExpressionError`` when an input is missing or the result is no finite number.
        """
        names: dict[str, Any] = {}
        for name, reference in self.names.items():
            if "*" in reference or "?" in reference:
                several = tuple(
                    values[tag] for tag in sorted(fnmatch.filter(list(values), reference))
                )
                if not several:
                    raise ExpressionError(f"no point that fits {{{reference}}} has a value")
                names[name] = several
            elif reference in values:
                names[name] = values[reference]
            else:
                raise ExpressionError(f"point {reference} has no value")
        try:
            made = eval(self.code, {"__builtins__": {}, **FUNCTIONS}, names)  # noqa: S307 - checked
            result = float(made)
        except ZeroDivisionError:
            raise ExpressionError("it divides by zero") from None
        except (ArithmeticError, ValueError, TypeError) as error:
            raise ExpressionError(f"it has no value here: {error}") from error
        if not math.isfinite(result):
            raise ExpressionError(f"its value is {result}, which is no finite number")
        return result


@lru_cache(maxsize=4_096)
def parse_expression(text: str) -> Expression:
    """Check and compile. Raises ``ExpressionError`` with what is wrong and what is allowed."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text):,} characters are too many, at most {MAX_LENGTH:,}")
    names: dict[str, str] = {}

    def name_of(found: re.Match[str]) -> str:
        reference = found[1].strip()
        if not POINT_TAG.match(reference) and not _PATTERN.match(reference):
            raise ExpressionError(
                f"{{{reference[:60]}}} is no point; write {{crac-1.supply_c}}, or a pattern such as "
                "{rack-1-*.power_w}"
            )
        for name, known in names.items():
            if known == reference:
                return f" {name} "
        names[f"p{len(names)}"] = reference
        return f" p{len(names) - 1} "

    source = _REFERENCE.sub(name_of, text).strip()
    if not names:
        raise ExpressionError("it names no point; write points in braces, {crac-1.supply_c}")
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"it is not an expression: {_why(error)}") from error
    nodes = list(ast.walk(tree))
    if len(nodes) > MAX_NODES:
        raise ExpressionError(f"it is too large: {len(nodes):,} parts, at most {MAX_NODES:,}")
    for node in nodes:
        _check(node, names)
    _check_patterns(tree, names)
    tree = ast.fix_missing_locations(_Floats().visit(tree))
    try:
        code = compile(tree, "<expression>", "eval", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"it is not an expression: {_why(error)}") from error
    return Expression(
        text,
        tuple(sorted(ref for ref in names.values() if not _is_pattern(ref))),
        tuple(sorted(ref for ref in names.values() if _is_pattern(ref))),
        names,
        code,
    )


def _is_pattern(reference: str) -> bool:
    return "*" in reference or "?" in reference


def _why(error: BaseException) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)[:100] or "nested too deeply"


def _check(node: ast.AST, names: Mapping[str, str]) -> None:
    if not isinstance(node, _NODES):
        raise ExpressionError(
            f"{type(node).__name__} is not allowed; there are + - * / % **, comparisons, and, or, "
            f"not, a if c else b, and {', '.join(sorted(FUNCTIONS))}"
        )
    if isinstance(node, ast.Constant) and (
        isinstance(node.value, bool) or not isinstance(node.value, int | float)
    ):
        raise ExpressionError(f"{str(node.value)[:40]!r} is no number")
    if isinstance(node, ast.Name) and node.id not in names and node.id not in FUNCTIONS:
        raise ExpressionError(
            f"{node.id!r} is unknown; write points in braces, {{crac-1.supply_c}}; functions are "
            f"{', '.join(sorted(FUNCTIONS))}"
        )
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            raise ExpressionError(f"only these can be called: {', '.join(sorted(FUNCTIONS))}")
        if node.keywords or not node.args:
            raise ExpressionError(f"{node.func.id} takes plain arguments, at least one")


def _check_patterns(tree: ast.AST, names: Mapping[str, str]) -> None:
    """A pattern is many numbers: allowed as the one argument of an aggregate, and nowhere else.

    A function's name is no value: allowed where it is called, and nowhere else.
    """
    inside, called = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(id(node.func))
            if node.func.id in _AGGREGATES and len(node.args) == 1:
                inside.add(id(node.args[0]))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name):
            continue
        if node.id in names and _is_pattern(names[node.id]) and id(node) not in inside:
            raise ExpressionError(
                f"{{{names[node.id]}}} stands for many points; write sum({{{names[node.id]}}}), or "
                "mean, min, max, count"
            )
        if node.id in FUNCTIONS and id(node) not in called:
            raise ExpressionError(f"{node.id} is a function; write {node.id}(…)")


class _Floats(ast.NodeTransformer):
    """Whole numbers as floats: ``9**9**9`` overflows at once instead of filling the memory."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        try:
            return ast.Constant(float(node.value))  # type: ignore[arg-type]
        except OverflowError:
            raise ExpressionError("a number is too large") from None
