"""Points as CSV or YAML; what ``import_plan`` reads back without a change."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ruamel.yaml import YAML

from facilities.datalist.columns import COLUMNS, cell
from facilities.models import Point


def export_csv(points: Iterable[Point]) -> str:
    """One line per point, all columns. Numbers as Python writes them, so that none is rounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    for point in points:
        writer.writerow([cell(column.value(point)) for column in COLUMNS])
    return out.getvalue()


def export_yaml(points: Iterable[Point]) -> str:
    """A list of mappings under ``points``; empty columns are left out."""
    rows = [
        {
            column.name: value
            for column in COLUMNS
            if (value := column.value(point)) not in (None, "")
        }
        for point in points
    ]
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its type is None
    yaml.width = 200
    out = io.StringIO()
    yaml.dump({"points": rows}, out)
    return out.getvalue()
