"""Golden questions in the files that people have: YAML, JSON, JSON lines, CSV, BEIR folders.

Every reader yields plain dictionaries with the name of the entry for messages; what the fields
mean is decided in `golden.py`. `docs/evaluation.md` shows each form.
"""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

MAX_FILE_BYTES = 64 * 1024 * 1024


class GoldenInvalid(ValueError):
    """The golden file cannot be used; the message names the file and the entry."""


Entry = tuple[str, dict[str, Any]]


def entries(path: Path) -> list[Entry]:
    """The entries of a file or BEIR folder, each with its name (`entry 3`, `line 7`).

    Raises GoldenInvalid with the file, the place and what was expected; OSError as it comes.
    """
    if path.is_dir():
        return _beir(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 2**20
        raise GoldenInvalid(f"{path.name}: over {limit} MiB; split it into several files")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GoldenInvalid(f"{path.name}: is not UTF-8 text ({error.reason})") from error
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        found = _lines(text, path.name)
    elif suffix in (".csv", ".tsv"):
        found = _table(text, path.name, "\t" if suffix == ".tsv" else None)
    else:
        found = _document(text, path.name, is_json=suffix == ".json")
    if not found:
        raise GoldenInvalid(
            f"{path.name}: holds no questions; expected a list of {{query, relevant}}"
        )
    return found


def _lines(text: str, name: str) -> list[Entry]:
    found: list[Entry] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise GoldenInvalid(f"{name}: line {number} is not JSON: {error}") from error
        found.append((f"line {number}", _mapping(value, name, f"line {number}")))
    return found


def _table(text: str, name: str, delimiter: str | None) -> list[Entry]:
    if delimiter is None:
        head = text.splitlines()[0] if text.strip() else ""
        delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    if not reader.fieldnames or len(reader.fieldnames) < 2:
        raise GoldenInvalid(f"{name}: expected a header line such as query,relevant")
    found: list[Entry] = []
    for number, row in enumerate(reader, start=2):
        if any(row.get(column) for column in reader.fieldnames):
            values = {
                str(key).strip().lower(): value for key, value in row.items() if key and value
            }
            found.append((f"line {number}", values))
    return found


def _document(text: str, name: str, *, is_json: bool) -> list[Entry]:
    try:
        value: Any = json.loads(text) if is_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise GoldenInvalid(f"{name}: cannot be parsed: {error}") from error
    if isinstance(value, dict):
        for key in ("queries", "questions", "entries", "items", "data"):
            if isinstance(value.get(key), list):
                value = value[key]
                break
        else:
            # A plain mapping of a question (an alert name) to what answers it.
            value = [{"query": key, "relevant": wanted} for key, wanted in value.items()]
            if any(not isinstance(item["relevant"], str | list | dict) for item in value):
                raise GoldenInvalid(f"{name}: expected a list of {{query, relevant}}")
    if not isinstance(value, list):
        raise GoldenInvalid(f"{name}: expected a list of {{query, relevant}}")
    return [
        (f"entry {number}", _mapping(item, name, f"entry {number}"))
        for number, item in enumerate(value, start=1)
    ]


def _mapping(value: Any, name: str, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GoldenInvalid(f"{name}: {place} is not a mapping with `query` and `relevant`")
    return {str(key).strip().lower(): item for key, item in value.items()}


def _beir(folder: Path) -> list[Entry]:
    """`queries.jsonl` and `qrels/*.tsv` (query-id, corpus-id, score), `corpus.jsonl` if there."""
    queries = folder / "queries.jsonl"
    qrels = sorted([*folder.glob("qrels/*.tsv"), *folder.glob("qrels*.tsv")])
    if not queries.is_file() or not qrels:
        raise GoldenInvalid(f"{folder.name}: a folder needs queries.jsonl and qrels/*.tsv (BEIR)")
    chosen = next((path for path in qrels if path.stem == "test"), qrels[0])
    texts = {
        str(row.get("_id", row.get("id"))): row
        for _place, row in _lines(_read(queries), queries.name)
    }
    corpus_path = folder / "corpus.jsonl"
    corpus = (
        {
            str(row.get("_id", row.get("id"))): row
            for _place, row in _lines(_read(corpus_path), corpus_path.name)
        }
        if corpus_path.is_file()
        else {}
    )
    wanted: dict[str, list[dict[str, Any]]] = {}
    for query_id, corpus_id, gain in _qrels(_read(chosen), chosen.name):
        if gain > 0:
            known = corpus.get(corpus_id, {})
            wanted.setdefault(query_id, []).append(
                {
                    "any_of": [corpus_id, known.get("title")],
                    "text": known.get("text"),
                    "gain": gain,
                }
            )
    missing = sorted(set(wanted) - set(texts))
    if missing:
        raise GoldenInvalid(f"{chosen.name}: query {missing[0]} is not in {queries.name}")
    return [
        (f"query {key}", {"query": texts[key].get("text", ""), "relevant": items})
        for key, items in wanted.items()
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def _qrels(text: str, name: str) -> Iterable[tuple[str, str, int]]:
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not cells or (number == 1 and not cells[-1].lstrip("-").isdigit()):
            continue
        if len(cells) == 4:  # TREC: query, iteration, document, relevance
            cells = [cells[0], cells[2], cells[3]]
        if len(cells) != 3 or not cells[2].lstrip("-").isdigit():
            raise GoldenInvalid(f"{name}: line {number} is not `query-id corpus-id score`")
        yield cells[0], cells[1], int(cells[2])
