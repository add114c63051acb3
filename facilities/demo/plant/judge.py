"""Alarm rules of the facility file over simulated readings: raise after a delay, clear past `clear`.

For tests and for the ground truth of scenarios. Knows thresholds, and expressions of the four
operations over points; the other kinds of rule are the product's.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]

_NAME = re.compile(r"\{([^{}]+)\}")
_OPERATIONS: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
}


@dataclass(frozen=True)
class Expression:
    """An expression rule: where its values stand among all, and the rows behind its names."""

    places: slice
    tree: ast.expr
    rows: dict[str, NDArray[np.int64]]


class Judge:
    """Feeds readings through the rules; `raised` has the first time of each (rule, tag)."""

    def __init__(self, facility: FacilitySpec) -> None:
        self._rows_of = {point.tag: row for row, point in enumerate(facility.points)}
        by_quantity: dict[tuple[str, str], list[str]] = {}
        for point in facility.points:
            by_quantity.setdefault((point.kind, point.quantity), []).append(point.tag)
        self.raised: dict[tuple[str, str], float] = {}
        self._keys: list[tuple[str, str]] = []
        self._expressions: list[Expression] = []
        columns: list[tuple[int, float, float, float, float]] = []
        for rule in facility.rules:
            kind = rule.get("type", "threshold")
            if kind not in ("threshold", "expression"):
                continue
            tags = (
                [rule["point"]] if "point" in rule else by_quantity[rule["kind"], rule["quantity"]]
            )
            if kind == "expression":
                places = slice(len(columns), len(columns) + len(tags))
                self._expressions.append(self._expression(rule, tags, places))
            sign = 1.0 if "above" in rule else -1.0
            limit = float(rule["above"] if sign > 0 else rule["below"])
            clear = float(rule.get("clear", limit))
            for tag in tags:
                self._keys.append((rule["name"], tag))
                delay_s = float(rule.get("delay_s", 0.0))
                columns.append((self._rows_of[tag], sign, limit, clear, delay_s))
        table = np.array(columns)
        self._rows = table[:, 0].astype(np.int64)
        self._sign, self._limit, self._clear, self._delay_s = table[:, 1:].T.copy()
        self._since_s = np.full(len(columns), np.inf)
        self._open = np.zeros(len(columns), dtype=bool)

    @property
    def open(self) -> set[tuple[str, str]]:
        """The alarms that hold now."""
        return {self._keys[place] for place in np.flatnonzero(self._open)}

    def judge(self, readings: Floats, *, now_s: float) -> None:
        """Take one reading of every point; NaN says nothing and clears nothing."""
        values = readings[self._rows]
        for expression in self._expressions:
            values[expression.places] = _value(expression.tree, expression.rows, readings)
        over = self._sign * (values - self._limit) > 0
        self._since_s[~over] = np.inf
        np.minimum(self._since_s, now_s, out=self._since_s, where=over)
        due = over & ~self._open & (now_s - self._since_s >= self._delay_s)
        if self._open.any():
            self._open &= over | ~(self._sign * (values - self._clear) < 0)
        if due.any():
            for place in np.flatnonzero(due):
                self.raised.setdefault(self._keys[place], now_s)
            self._open |= due

    def _expression(self, rule: dict[str, Any], tags: list[str], places: slice) -> Expression:
        """The rule with plain names for {this}, {this.quantity} and {tag}."""
        rows: dict[str, NDArray[np.int64]] = {}

        def plain(match: re.Match[str]) -> str:
            what, name = match.group(1), f"v{len(rows)}"
            if what == "this":
                found = tags
            elif what.startswith("this."):
                found = [f"{tag.rsplit('.', 1)[0]}.{what[5:]}" for tag in tags]
            else:
                found = [what] * len(tags)
            rows[name] = np.array([self._rows_of[tag] for tag in found])
            return name

        text = _NAME.sub(plain, rule["parameters"]["expression"])
        return Expression(places, ast.parse(text, mode="eval").body, rows)


def _value(node: ast.expr, rows: dict[str, NDArray[np.int64]], readings: Floats) -> Any:
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, rows, readings), _value(node.right, rows, readings)
        return _OPERATIONS[type(node.op)](left, right)
    if isinstance(node, ast.Name):
        return readings[rows[node.id]]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    raise ValueError(f"{ast.dump(node)} is not + - * / over points and numbers")
