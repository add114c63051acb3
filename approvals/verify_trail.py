"""Check an exported audit trail without a database, a network or anything but Python.

    python -m approvals.verify_trail TRAIL.jsonl[.gz] [--anchors ANCHORS.jsonl …]

Exit status: 0 every entry holds, 1 one does not, 2 the files cannot be read.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from approvals.chain import Anchor, anchors_from_json, link_from_json, walk


class Unreadable(Exception):
    """A file is not what it should be; the message names it and the line."""


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSON Lines file, gzip or plain, with their line numbers."""
    try:
        packed = path.read_bytes()[:2] == b"\x1f\x8b" if path.is_file() else False
        with gzip.open(path, "rt") if packed else path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise Unreadable(f"{path}, line {number}: not a JSON object")
                yield number, row
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: {error}") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path}: not JSON Lines ({error})") from error


def verify(trail: Path, anchor_files: Sequence[Path] = ()) -> int:
    """Print the verdict on an exported trail; returns the exit status."""
    try:
        anchors: list[Anchor] = [
            anchor
            for path in anchor_files
            for anchor in anchors_from_json(row for _, row in lines_of(path))
        ]
        verdict = walk((link_from_json(row) for _, row in lines_of(trail)), anchors)
    except (Unreadable, ValueError) as error:
        sys.stderr.write(f"cannot read: {error}\n")
        return 2
    sys.stdout.write(
        f"{'OK' if verdict.ok else 'BROKEN'}: {verdict.detail}\n"
        f"head {verdict.head} after {verdict.checked} entries\n"
    )
    return 0 if verdict.ok else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="verify_trail", description=__doc__.split("\n")[0])
    parser.add_argument("trail", type=Path, help="what `manage.py export_audit` wrote")
    parser.add_argument("--anchors", type=Path, nargs="+", default=[], metavar="FILE")
    options = parser.parse_args(arguments)
    return verify(options.trail, options.anchors)


if __name__ == "__main__":
    sys.exit(main())
