"""The procedures in force, read from the knowledge base for the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from approvals.catalogue.procedures import Passed, Procedure, prerequisites_read, steps_read

KINDS = ("eop", "mop", "sop")
# Read procedures by revision (a revision never changes); a site has some hundreds.
MAX_KEPT = 1000
_lock = threading.Lock()
_kept: dict[tuple[int, str], Procedure] = {}


def procedures_in_force() -> tuple[Procedure, ...]:
    """Every procedure in force, by slug. One query, and one more when there is a new revision.

    Only collections that are open to everybody, and no document in which the import found hidden
    text or sentences that read like instructions to a model.
    """
    from rag.access import OPEN_ONLY, readable
    from rag.models import Revision

    rows = list(
        Revision.objects.in_force()
        .filter(readable(OPEN_ONLY, "document__collection"), document__kind__in=KINDS, flags=[])
        .order_by("document__slug", "-number")
        .values_list("pk", "sha256", "document__slug", "document__title", "document__kind",
                     "number", "meta")
    )  # fmt: skip
    with _lock:
        missing = [row for row in rows if (row[0], row[1]) not in _kept]
    if missing:
        _read(missing)
    with _lock:
        return tuple(_kept[row[0], row[1]] for row in rows if (row[0], row[1]) in _kept)


def not_in_force(steps: Sequence[Mapping[str, Any]]) -> str:
    """Why steps that were signed may not be carried out any more: their revision is not in force,
    or its file is another one. "" where nothing stands against them. One query, none without steps.
    """
    from rag.models import Revision

    cited = {
        (c["document"], c["revision"], c.get("sha256", "")): None
        for step in steps
        if (c := step.get("cite"))
    }
    if not cited:
        return ""
    slugs = [document for document, _, _ in cited]
    now = {
        row[0]: row
        for row in Revision.objects.in_force()
        .filter(document__slug__in=slugs)
        .order_by("number")
        .values_list("document__slug", "number", "sha256")
    }
    for document, revision, sha256 in cited:
        found = now.get(document)
        if found is None:
            return f"{document.upper()} revision {revision} is no longer in force"
        if found[1] != revision or (sha256 and found[2] != sha256):
            return (
                f"{document.upper()} revision {revision} was signed, revision {found[1]} is in "
                "force now: propose it again"
            )
    return ""


def _read(rows: list[Any]) -> None:
    from rag.models import Passage

    pieces: dict[int, list[Passed]] = {}
    for revision, pk, path, step, anchor, text in (
        Passage.objects.filter(revision__in=[row[0] for row in rows])
        .order_by("revision", "ordinal")
        .values_list("revision", "pk", "section_path", "step", "anchor", "text")
    ):
        section = path[-1] if path else ""
        pieces.setdefault(revision, []).append(Passed(pk, section, step, anchor, text))
    with _lock:
        while len(_kept) > MAX_KEPT:
            _kept.pop(next(iter(_kept)))
        for pk, sha256, slug, title, kind, number, meta in rows:
            passages = pieces.get(pk, [])
            _kept[pk, sha256] = Procedure(
                document=slug,
                title=title,
                kind=kind,
                revision=number,
                risk=str((meta or {}).get("risk", "")),
                sha256=sha256,
                url=f"/library/{slug}/?revision={number}",
                steps=steps_read(passages),
                prerequisites=prerequisites_read(passages),
            )
