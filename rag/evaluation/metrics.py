"""Golden questions, and MRR@10, hit@1, hit@5 over them (pure functions but for the file)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPTH = 10


class GoldenInvalid(ValueError):
    """The golden file cannot be used; the message names the entry."""


@dataclass(frozen=True)
class Golden:
    """A question with what answers it: document slugs, or `slug#step`."""

    query: str
    relevant: frozenset[str]


@dataclass(frozen=True)
class Figures:
    """Means over all questions, 0…1. `mrr`: reciprocal rank of the first relevant hit of 10."""

    questions: int
    mrr: float
    hit_1: float
    hit_5: float


def load(path: Path) -> list[Golden]:
    """Read a golden file: YAML or JSON (a list, or `queries:`), or JSON lines.

    Each entry is `{query, relevant: [slug or slug#step, …]}`. Raises GoldenInvalid.
    """
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".jsonl":
            entries: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            entries = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise GoldenInvalid(f"{path.name}: cannot be parsed: {error}") from error
    if isinstance(entries, dict):
        entries = entries.get("queries")
    if not isinstance(entries, list) or not entries:
        raise GoldenInvalid(f"{path.name}: expected a list of {{query, relevant}}")
    return [_golden(entry, number, path.name) for number, entry in enumerate(entries, start=1)]


def _golden(entry: Any, number: int, name: str) -> Golden:
    if not isinstance(entry, dict) or not entry.get("query") or not entry.get("relevant"):
        raise GoldenInvalid(f"{name}: entry {number} needs `query` and a non-empty `relevant`")
    relevant = entry["relevant"]
    relevant = [relevant] if isinstance(relevant, str) else relevant
    return Golden(str(entry["query"]), frozenset(str(item).lower() for item in relevant))


def rank_of_first(golden: Golden, found: Sequence[tuple[str, int | None]]) -> int | None:
    """Rank, from 1, of the first relevant hit among (document slug, step), or None."""
    for rank, (document, step) in enumerate(found[:DEPTH], start=1):
        if document in golden.relevant or f"{document}#{step}" in golden.relevant:
            return rank
    return None


def figures(ranks: Sequence[int | None]) -> Figures:
    """The figures of a run from each question's first relevant rank."""
    count = len(ranks) or 1
    return Figures(
        questions=len(ranks),
        mrr=sum(1 / rank for rank in ranks if rank) / count,
        hit_1=sum(rank == 1 for rank in ranks) / count,
        hit_5=sum(rank is not None and rank <= 5 for rank in ranks) / count,
    )
