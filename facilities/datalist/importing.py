"""Import of the data list: read, compare, show, and only then write — what was shown, or nothing.

A file names points by ``tag`` (or by ``asset`` and ``quantity``). Only the columns it has are
touched: a CSV with ``tag,owner`` changes owners and nothing else. Points that the file does not name
stay. Unknown points are created on assets that exist.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from facilities.converters.units import UnitError, ucum
from facilities.datalist.columns import BY_NAME, uncell
from facilities.models import Asset, Point, Source

MAX_ROWS: Final = 200_000
MAX_PROBLEMS: Final = 200


class ImportProblems(ValueError):
    """Everything that is wrong with the file; nothing was changed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StalePlan(ValueError):
    """The data list is no longer what the preview showed."""


class Change(NamedTuple):
    """One line of the preview. ``fields``: (column, before, after); all new for a new point."""

    tag: str
    new: bool
    fields: list[tuple[str, Any, Any]]


@dataclass(slots=True)
class ImportPlan:
    """What an import would do. ``digest`` names exactly these changes."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    points: list[Point] = field(default_factory=list)
    digest: str = ""

    @property
    def created(self) -> int:
        """How many points are new."""
        return sum(change.new for change in self.changes)

    @property
    def updated(self) -> int:
        """How many points change."""
        return len(self.changes) - self.created


Row = tuple[int, dict[str, Any]]


def read_rows(text: str, *, format: str) -> list[Row]:
    """Rows of a file with their line (CSV) or position (YAML). Raises ``ImportProblems``."""
    if format == "csv":
        rows = _read_csv(text)
    elif format == "yaml":
        rows = _read_yaml(text)
    else:
        raise ImportProblems([f"format {format[:20]!r} is neither csv nor yaml"])
    if len(rows) > MAX_ROWS:
        raise ImportProblems([f"{len(rows):,} points are too many, at most {MAX_ROWS:,}"])
    unknown = sorted({str(key) for _, row in rows for key in row} - BY_NAME.keys())
    if unknown:
        raise ImportProblems(
            [f"unknown column {name[:40]!r}; there are {', '.join(BY_NAME)}" for name in unknown]
        )
    return rows


def _read_csv(text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ImportProblems(
                    [f"line {reader.line_num}: has not as many cells as the first line has names"]
                )
            rows.append((reader.line_num, {key: uncell(value) for key, value in row.items()}))
    except csv.Error as error:
        raise ImportProblems([f"line {reader.line_num}: {error}"]) from error
    return rows


def _read_yaml(text: str) -> list[Row]:
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ImportProblems(
            [f"{where}not YAML: {getattr(error, 'problem', None) or error}"]
        ) from error
    rows = data.get("points") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ImportProblems(["the file must be a mapping with a list of points: points: [...]"])
    return list(enumerate(rows, 1))


def import_plan(text: str, *, format: str, user: Any = None) -> ImportPlan:
    """Compare a file with the data list. Raises ``ImportProblems`` that names both sides.

    Three queries. ``user`` is noted as who verified what the file marks as verified.
    """
    rows = read_rows(text, format=format)
    return _Planner(user).plan(rows)


class _Planner:
    def __init__(self, user: Any) -> None:
        self.user = user if user is not None and user.is_authenticated else None
        self.problems: list[str] = []

    def plan(self, rows: list[Row]) -> ImportPlan:
        parsed = [(line, self._parse(line, row)) for line, row in rows]
        tags = [values.get("tag", "") for _, values in parsed]
        self.points = {
            point.tag: point
            for point in Point.objects.filter(tag__in=tags).select_related("asset", "source")
        }
        self.assets = {
            asset.tag: asset
            for asset in Asset.objects.filter(
                tag__in={
                    values.get("asset") or tag.partition(".")[0]
                    for (_, values), tag in zip(parsed, tags, strict=True)
                }
            )
        }
        self.sources = {source.name: source for source in Source.objects.all()}
        plan = ImportPlan()
        seen: dict[str, int] = {}
        for line, values in parsed:
            tag = values.get("tag", "")
            if not tag:
                continue
            if tag in seen:
                self._note(line, f"point {tag} is named in line {seen[tag]} already; keep one")
                continue
            seen[tag] = line
            self._row(plan, line, tag, values)
        if self.problems:
            raise ImportProblems(self.problems)
        said = repr([(change.tag, change.new, change.fields) for change in plan.changes])
        plan.digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
        return plan

    def _note(self, line: int, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"line {line}: {text}")

    def _parse(self, line: int, row: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, raw in row.items():
            try:
                values[name] = BY_NAME[name].parse(raw)
            except ValueError as error:
                self._note(line, f"{name} {error}")
        if not values.get("tag"):
            if values.get("asset") and values.get("quantity"):
                values["tag"] = f"{values['asset']}.{values['quantity']}"
            else:
                self._note(line, "tag is missing (or asset and quantity)")
        return values

    def _row(self, plan: ImportPlan, line: int, tag: str, values: dict[str, Any]) -> None:
        point = self.points.get(tag)
        new = point is None
        asset_tag, _, quantity = tag.partition(".")
        if point is None:
            asset = self.assets.get(values.get("asset") or asset_tag)
            if asset is None:
                self._note(
                    line,
                    f"point {tag}: asset {values.get('asset') or asset_tag} is not in the "
                    "facility; add the asset first or correct the tag",
                )
                return
            point = Point(tag=tag, asset=asset, quantity=values.get("quantity") or quantity)
            point.name = f"{asset.name} {quantity.replace('_', ' ')}"[:200]
        elif values.get("asset") and values["asset"] != point.asset.tag:
            self._note(
                line,
                f"point {tag} belongs to asset {point.asset.tag}, not to {values['asset']}; a point "
                "cannot move to another asset, make a new one",
            )
            return
        fields = self._apply(line, point, new, values)
        if not fields and not new:
            plan.unchanged += 1
            return
        if self._check(line, point):
            plan.changes.append(Change(tag, new, fields))
            plan.points.append(point)

    def _apply(
        self, line: int, point: Point, new: bool, values: dict[str, Any]
    ) -> list[tuple[str, Any, Any]]:
        fields = []
        for name, value in values.items():
            if name in ("tag", "asset"):
                continue
            column = BY_NAME[name]
            before = None if new else column.value(point)
            if not new and before == value:
                continue
            if name == "name" and not value:
                continue
            if name == "source":
                if value and value not in self.sources:
                    self._note(
                        line, f"point {point.tag}: there is no source {value!r}; create it first"
                    )
                    continue
                point.source = self.sources.get(value)
            else:
                setattr(point, column.field, value)
            if name == "verified" and value:
                point.verified_at, point.verified_by = timezone.now(), self.user
            if not new or value not in (None, "", False):
                fields.append((name, before, value))
        return fields

    def _check(self, line: int, point: Point) -> bool:
        problems = []
        try:
            point.clean_fields(exclude=["asset", "source", "verified_by"])
        except ValidationError as error:
            problems += [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        try:
            point.clean()
        except ValidationError as error:
            problems += [" ".join(texts) for texts in error.message_dict.values()]
        try:
            ucum(point.unit)
        except UnitError as error:
            problems.append(str(error))
        for problem in problems:
            self._note(line, f"point {point.tag}: {problem}")
        return not problems


@transaction.atomic
def import_apply(
    text: str, *, format: str, digest: str | None = None, user: Any = None
) -> ImportPlan:
    """Apply a file: all of it or nothing. With ``digest`` only if it is still what was shown.

    Raises ``ImportProblems``, and ``StalePlan`` when the data list changed since the preview.
    """
    list(Point.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
    plan = import_plan(text, format=format, user=user)
    if digest is not None and digest != plan.digest:
        raise StalePlan(
            "the data list has changed since the preview; look at the new preview and apply again"
        )
    new = {change.tag for change in plan.changes if change.new}
    Point.objects.bulk_create([point for point in plan.points if point.tag in new])
    changed = [point for point in plan.points if point.tag not in new]
    if changed:
        columns = [
            column.field for column in BY_NAME.values() if column.field not in ("tag", "asset")
        ]
        Point.objects.bulk_update(changed, [*columns, "verified_at", "verified_by"], batch_size=500)
    return plan
