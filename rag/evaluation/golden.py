"""Golden questions: what is asked, which passages answer it, what a right answer contains."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.evaluation.formats import GoldenInvalid, entries

__all__ = ["Golden", "GoldenInvalid", "Target", "golden_of", "load"]

# The names under which other people's files keep the same things, best first.
QUERY_KEYS = ("query", "question", "q", "text", "alert", "alertname", "prompt")
RELEVANT_KEYS = (
    "relevant",
    "expected",
    "passages",
    "passage",
    "documents",
    "document",
    "docs",
    "doc",
    "sources",
    "source",
    "files",
    "file",
    "runbook",
    "relevant_docs",
    "relevant_documents",
    "expected_docs",
    "expected_documents",
    "expected_passages",
    "evidence",
    "positives",
    "context",
)
DOCUMENT_KEYS = (
    "document",
    "doc",
    "slug",
    "title",
    "file",
    "filename",
    "path",
    "source",
    "runbook",
    "id",
)
TEXT_KEYS = ("text", "passage", "quote", "evidence", "snippet", "chunk", "content")
REFINING = ("step", "section", "page", "contains", "passage_id")
FACT_KEYS = ("key_facts", "key_fact", "facts", "must_contain", "answer_contains", "keywords")
SEPARATORS = re.compile(r"\s*[;|]\s*")
SLUG_STEP = re.compile(r"^(?P<document>.+?)#(?:step-?)?(?P<step>\d{1,3})$", re.IGNORECASE)
MAX_QUERY = 1000


@dataclass(frozen=True)
class Target:
    """One thing that answers: a document, or the passages of it that the other fields leave.

    `names` are alternatives for the document: slug, title, file name or path; empty means any
    document. `contains` are verbatim words that the passage holds; `text` is a whole passage as
    somebody else cut it, which is met by passages that share most of it. `gain` weighs nDCG.
    """

    names: tuple[str, ...] = ()
    step: int | None = None
    section: str = ""
    page: int | None = None
    contains: str = ""
    text: str = ""
    passage_id: int | None = None
    gain: int = 1

    def __str__(self) -> str:
        if self.passage_id is not None:
            return f"passage {self.passage_id}"
        parts = [self.names[0]] if self.names else []
        if self.step is not None:
            parts.append(f"step {self.step}")
        if self.section:
            parts.append(f"section “{self.section}”")
        if self.page is not None:
            parts.append(f"page {self.page}")
        words = self.contains or self.text
        if words:
            parts.append(f"“{words[:60]}{'…' if len(words) > 60 else ''}”")
        return " · ".join(parts) or "nothing"


@dataclass(frozen=True)
class Golden:
    """A question. `key_facts` are regular expressions, each of which a right answer matches
    (ignoring case); `place` names the entry in messages."""

    query: str
    relevant: tuple[Target, ...] = ()
    key_facts: tuple[str, ...] = ()
    collection: str = ""
    is_answerable: bool = True
    place: str = ""


def load(path: Path) -> list[Golden]:
    """The questions of a file (docs/evaluation.md lists the forms). Raises GoldenInvalid, which
    names the file and the entry, and OSError."""
    return [_golden(entry, place, path.name) for place, entry in entries(path)]


def golden_of(entry: dict[str, Any], *, place: str, name: str = "database") -> Golden:
    """A question from one mapping, such as a row of GoldenQuestion."""
    return _golden(entry, place, name)


def _golden(entry: dict[str, Any], place: str, name: str) -> Golden:
    query = next((entry[key] for key in QUERY_KEYS if _filled(entry.get(key))), None)
    if not isinstance(query, str):
        raise GoldenInvalid(f"{name}: {place} has no question; expected the field `query`")
    answerable = _truth(entry.get("answerable", entry.get("is_answerable", True)))
    targets: tuple[Target, ...] = ()
    if answerable:
        key = next((key for key in RELEVANT_KEYS if _filled(entry.get(key))), None)
        if key is None:
            raise GoldenInvalid(
                f"{name}: {place} ({query[:60]!r}) names nothing that answers it; expected "
                "`relevant`, or `answerable: false`"
            )
        targets = tuple(_targets(entry, key, f"{name}: {place}"))
    return Golden(
        query=" ".join(query.split())[:MAX_QUERY],
        relevant=targets,
        key_facts=_facts(entry, f"{name}: {place}"),
        collection=str(entry.get("collection") or ""),
        is_answerable=answerable,
        place=place,
    )


def _filled(value: Any) -> bool:
    return bool(value) or (isinstance(value, int) and not isinstance(value, bool))


def _truth(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "no", "0", "")


def _targets(entry: dict[str, Any], key: str, where: str) -> Iterable[Target]:
    value = entry[key]
    if isinstance(value, str):
        names_text = key in ("passage", "passages", "evidence", "context", "expected_passages")
        items: list[Any] = [value] if names_text else SEPARATORS.split(value.strip())
    elif isinstance(value, list | tuple | set):
        items = list(value)
    else:
        items = [value]
    # `document: x, page: 3, passage: "…"` beside the question belongs to the one document.
    beside = {name: entry[name] for name in REFINING if _filled(entry.get(name))}
    quoted = (entry.get(name) for name in ("passage", "evidence", "quote") if name != key)
    if text := next((text for text in quoted if isinstance(text, str) and text.strip()), ""):
        beside["text"] = text
    for item in items:
        if beside and len(items) == 1 and isinstance(item, str):
            item = {"document": item, **beside}
        if item or item == 0:
            yield _target(item, where)


def _target(item: Any, where: str) -> Target:
    if isinstance(item, bool):
        raise GoldenInvalid(f"{where}: {item!r} is not a document, step or passage")
    if isinstance(item, int):
        return Target(passage_id=item)
    if isinstance(item, str):
        return _named(item.strip())
    if not isinstance(item, dict):
        raise GoldenInvalid(f"{where}: {item!r} is not a document, step or passage")
    fields = {str(key).lower(): value for key, value in item.items() if _filled(value)}
    alternatives = [str(name) for name in fields.get("any_of") or [] if name]
    document = next((str(fields[key]) for key in DOCUMENT_KEYS if key in fields), "")
    named = _named(document) if document else Target()
    target = Target(
        names=named.names or tuple(alternatives),
        step=_whole(fields, "step", where) if "step" in fields else named.step,
        section=str(fields.get("section") or fields.get("heading") or ""),
        page=_whole(fields, "page", where),
        contains=str(fields.get("contains") or ""),
        text=str(next((fields[key] for key in TEXT_KEYS if key in fields), "")),
        passage_id=_whole(fields, "passage_id", where),
        gain=_whole(fields, "gain", where) or 1,
    )
    if str(target) == "nothing":
        raise GoldenInvalid(
            f"{where}: {item!r} names no document, step, section, page or text of a passage"
        )
    return target


def _named(name: str) -> Target:
    """`slug`, `slug#4`, a title, a file name, a path, `passage:17`, or a passage in full."""
    if name.lower().startswith("passage:") and name[8:].strip().isdigit():
        return Target(passage_id=int(name[8:]))
    if step := SLUG_STEP.match(name):
        return Target(names=(step["document"],), step=int(step["step"]))
    if len(name) > 200 or "\n" in name:
        return Target(text=name)
    return Target(names=(name,))


def _whole(fields: dict[str, Any], key: str, where: str) -> int | None:
    if key not in fields:
        return None
    try:
        return int(fields[key])
    except (TypeError, ValueError):
        raise GoldenInvalid(f"{where}: {key} {fields[key]!r} is not a whole number") from None


def _facts(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    value = next((entry[key] for key in FACT_KEYS if entry.get(key)), ())
    facts = tuple(str(fact) for fact in ([value] if isinstance(value, str) else value))
    for fact in facts:
        try:
            re.compile(fact, re.IGNORECASE)
        except re.error as error:
            raise GoldenInvalid(
                f"{where}: key fact {fact!r} is no regular expression ({error}); put a backslash "
                "before special characters"
            ) from error
    return facts
