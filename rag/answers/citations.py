"""Citations, revisions, notes and the `answer` event itself (docs/answers.md lists the fields)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.answers.evidence import Evidence, RevisionInfo
from rag.models import Kind
from rag.retrieval.search import Hit

Event = dict[str, Any]

QUOTE_CHARS = 320
NOT_IN_DOCUMENTS = "This is not in the documents."


@dataclass
class Citations:
    """Numbers citations from 1 in the order in which the answer uses them."""

    evidence: Evidence
    items: list[dict[str, Any]] = field(default_factory=list)
    used: dict[int, Hit] = field(default_factory=dict)
    _numbers: dict[int | None, int] = field(default_factory=dict)

    def cite(self, hit: Hit | None, quote: str) -> int:
        """The citation number of a passage, or of the live readings (None)."""
        key = hit.passage_id if hit else None
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            number = self._numbers[key]
            if hit is None:
                self.items.append(_of_live(number, self.evidence, quote))
            else:
                self.used[hit.passage_id] = hit
                self.items.append(_of_hit(number, hit, self.evidence, quote))
        return self._numbers[key]

    def cite_tool(self, result: Mapping[str, Any], quote: str) -> int:
        """The citation number of a tool's result."""
        number = self.cite(None, quote)
        named = {
            "title": str(result.get("title") or "Live readings"),
            "section": ", ".join(result.get("assets") or ()),
            "url": str(result.get("url") or "/points/"),
        }
        self.items[number - 1].update(named)
        return number

    def tool_words(self, result: Mapping[str, Any]) -> str:
        """What a tool says, cited as its own words and facts, for the top of a documents' answer."""
        text = str(result.get("text", ""))
        facts = " ".join(str(fact) for fact in result.get("facts") or ())
        quote = facts if text in facts else f"{text} {facts}".strip()
        return f"{text} [{self.cite_tool(result, quote)}]" if text else ""


def _cut(quote: str) -> str:
    return quote if len(quote) <= QUOTE_CHARS else quote[: QUOTE_CHARS - 1].rstrip() + "…"


def _of_live(number: int, evidence: Evidence, quote: str) -> dict[str, Any]:
    tags = evidence.live.assets if evidence.live else ()
    return {
        "n": number, "passage_id": None, "document": "", "title": "Live readings", "kind": "",
        "section": ", ".join(tags), "step": None, "page": None, "revision": None,
        "url": f"/assets/{tags[0]}/" if tags else "/points/", "quote": _cut(quote),
        "flagged": False, "effective_from": None, "in_force": True,
    }  # fmt: skip


def _of_hit(number: int, hit: Hit, evidence: Evidence, quote: str) -> dict[str, Any]:
    revision = evidence.revisions.get(hit.passage_id)
    return {
        "n": number, "passage_id": hit.passage_id, "document": hit.document, "title": hit.title,
        "kind": hit.kind, "section": hit.section, "step": hit.step, "page": hit.page,
        "revision": hit.revision, "url": hit.url, "quote": _cut(quote),
        "flagged": hit.passage_id in evidence.flagged,
        "effective_from": f"{revision.effective_from:%Y-%m-%d}" if revision else None,
        "in_force": revision.is_in_force if revision else True,
    }  # fmt: skip


def revision_entry(info: RevisionInfo) -> dict[str, Any]:
    """One entry of the event's `revisions`."""
    return {
        "document": info.document,
        "title": info.title,
        "kind": info.kind,
        "revision": info.number,
        "effective_from": f"{info.effective_from:%Y-%m-%d}",
        "superseded_at": f"{info.superseded_at:%Y-%m-%d}" if info.superseded_at else None,
        "in_force": info.is_in_force,
        "review_due": f"{info.review_due:%Y-%m-%d}" if info.review_due else None,
        "review_overdue": info.is_review_overdue,
        "approver": info.approver,
        "label": info.label,
        "url": info.url,
    }


def notes(evidence: Evidence, used: Sequence[Hit]) -> list[dict[str, str]]:
    """What the reader of the answer must know about its sources."""
    found: list[dict[str, str]] = []
    if evidence.time is not None:
        found.append(
            {"code": "past", "text": f"As of {evidence.time.at:%Y-%m-%d}: revisions in force then."}
        )
    seen: dict[tuple[str, int], RevisionInfo] = {}
    for hit in used:
        if info := evidence.revisions.get(hit.passage_id):
            seen[info.document, info.number] = info
    for info in seen.values():
        if not info.is_in_force:
            found.append(
                {
                    "code": "superseded",
                    "text": f"{info.label}: not in force now, do not work by it.",
                }
            )
        elif info.is_review_overdue:
            found.append(
                {
                    "code": "review_due",
                    "text": f"{info.label}: its review was due on {info.review_due:%Y-%m-%d}.",
                }
            )
        if info.kind == Kind.REPORT:
            found.append(
                {
                    "code": "experience",
                    "text": f"{info.label}: an outcome report, experience and no procedure.",
                }
            )
    for hit in used:
        if hit.passage_id in evidence.flagged:
            found.append(
                {
                    "code": "flagged",
                    "text": f"{hit.title}, {hit.section or 'text'}: flagged at import as suspicious; "
                    "check it before you rely on it.",
                }
            )
    return found


def answer_event(
    *,
    text: str,
    mode: str,
    evidence: Evidence,
    citations: Citations,
    degraded: str = "",
    dropped: int = 0,
    replaced: int = 0,
    procedure: dict[str, Any] | None = None,
    candidates: Sequence[dict[str, Any]] = (),
) -> Event:
    """The `answer` event with every field present."""
    used = list(citations.used.values())
    infos: dict[tuple[str, int], RevisionInfo] = {}
    for hit in used:
        if info := evidence.revisions.get(hit.passage_id):
            infos.setdefault((info.document, info.number), info)
    warnings = notes(evidence, used)
    if candidates:
        names = "; ".join(entry["title"] for entry in candidates)
        warnings.append({"code": "candidates", "text": f"Other documents fit as well: {names}."})
    return {
        "type": "answer",
        "answer": text,
        "mode": mode,
        "citations": citations.items,
        "grounded": bool(citations.items),
        "dropped": dropped,
        "replaced": replaced,
        "passages": [asdict(hit) for hit in evidence.result.hits],
        "procedure": procedure,
        "candidates": list(candidates),
        "revisions": [revision_entry(info) for info in infos.values()],
        "notes": warnings,
        "asked_as": "",
        "at": evidence.at.isoformat() if evidence.at else None,
        "tools": [],
        "degraded": " ".join(note for note in (degraded, evidence.result.degraded) if note),
        "llm": "",
        "timing": {},
    }


def declined(evidence: Evidence, degraded: str = "", reason: str = "") -> Event:
    """Not in the documents, with the reason where one is known and the nearest titles."""
    shown = [hit for hit in evidence.result.hits if hit.passage_id not in evidence.flagged]
    titles = list(dict.fromkeys(hit.title for hit in shown))[:3]
    parts = [NOT_IN_DOCUMENTS]
    if reason:
        parts.append(reason)
    if evidence.time is not None:
        parts.append(f"Searched in what was in force on {evidence.time.at:%Y-%m-%d}.")
    if titles:
        parts.append(f"The nearest documents are: {'; '.join(titles)}.")
    return answer_event(
        text=" ".join(parts),
        mode="none",
        evidence=evidence,
        citations=Citations(evidence),
        degraded=degraded,
    )
