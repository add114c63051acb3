"""Gaps: what the documents should say and do not, found by the system and closed by documents.

A gap is open until a check says that it is none any more, or a person dismisses it with a reason.
Naming a document that closes a question or an alarm does not close it: the question is asked
again, and has to be answered then.
"""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from rag.access import Reader, readable
from rag.growth.asking import Asked, ask_again, procedure_for
from rag.growth.finders import FINDERS, Findings, Found
from rag.models import Document, Gap, Revision

logger = logging.getLogger(__name__)

State = Gap.State
#: Questions asked again in one look: each takes up to a few seconds of the language model.
CHECKS_AT_ONCE = 20
MAX_REASON_CHARS = 500


class GapError(Exception):
    """A refusal, with the status that the API answers."""

    def __init__(self, detail: str, *, code: str = "conflict", status: int = 409) -> None:
        super().__init__(detail)
        self.detail, self.code, self.status = detail, code, status


def gaps(*, reader: Reader) -> QuerySet[Gap]:
    """The gaps that the reader may see, most often met first; documents and people selected."""
    return (
        Gap.objects.filter(Q(collection__isnull=True) | readable(reader, "collection"))
        .select_related("subject", "closing__collection", "decided_by")
        .order_by("-count", "-seen_at", "pk")
    )


def gaps_refresh(*, now: datetime | None = None) -> dict[str, int]:
    """Run every finder, then ask open questions again where documents have changed since.

    A finder that fails is logged and leaves its kind as it was. Returns how many are open by kind.
    """
    now = now or timezone.now()
    for finder in FINDERS:
        try:
            findings = finder(now=now)
            with transaction.atomic():
                _reconcile(findings, now)
        except Exception:
            logger.exception("looking for gaps with %s failed", finder.__module__)
    questions_check(now=now)
    kinds = Gap.objects.filter(state=State.OPEN).values_list("kind", flat=True)
    counts = dict.fromkeys(Gap.Kind.values, 0)
    for kind in kinds:
        counts[kind] += 1
    return counts


def _reconcile(findings: Findings, now: datetime) -> None:
    known = {gap.key: gap for gap in Gap.objects.filter(kind=findings.kind).select_for_update()}
    for found in findings.found:
        _meet(findings.kind, known.get(found.key), found, now)
    if not findings.is_complete:
        return
    still = {found.key for found in findings.found}
    for key, gap in known.items():
        if gap.state == State.OPEN and key not in still:
            by = findings.settled.get(key)
            _close(gap, now, "A procedure answers it now." if by else "It is no longer so.", by)


def _meet(kind: str, gap: Gap | None, found: Found, now: datetime) -> None:
    if gap is None:
        gap = Gap(kind=kind, key=found.key, owner=found.owner)
    elif gap.state == State.CLOSED and (gap.decided_at is None or found.seen_at > gap.decided_at):
        gap.state, gap.note, gap.closing = State.OPEN, "Met again after it was closed.", None
        gap.decided_by, gap.decided_at, gap.checked_at = None, None, None
    gap.title, gap.count, gap.seen_at = found.title, found.count, found.seen_at
    # What a check found out stays beside what the finder knows.
    gap.detail = {**gap.detail, **found.detail}
    gap.owner = gap.owner or found.owner
    gap.subject_id, gap.collection_id = found.subject_id, found.collection_id
    gap.save()


def _close(gap: Gap, now: datetime, note: str, document_id: int | None = None) -> None:
    gap.state, gap.note, gap.decided_at = State.CLOSED, note[:MAX_REASON_CHARS], now
    gap.closing_id = document_id or gap.closing_id
    gap.save()


def questions_check(*, now: datetime | None = None, limit: int = CHECKS_AT_ONCE) -> int:
    """Ask open questions again that were not since the documents changed. Returns how many."""
    now = now or timezone.now()
    changed = _documents_changed_at()
    due = Gap.objects.filter(kind=Gap.Kind.QUESTION, state=State.OPEN).filter(
        Q(checked_at__isnull=True) | Q(checked_at__lt=changed or now)
    )
    ids = list(due.order_by("checked_at", "pk").values_list("pk", flat=True)[:limit])
    for gap_id in ids:
        gap_check(gap_id=gap_id, now=now)
    return len(ids)


def _documents_changed_at() -> datetime | None:
    moments = [
        Revision.objects.aggregate(at=Max("activated_at"))["at"],
        Document.objects.aggregate(at=Max("updated_at"))["at"],
    ]
    return max((moment for moment in moments if moment), default=None)


def gap_check(*, gap_id: int, now: datetime | None = None) -> Gap:
    """Look again at one open gap; it closes itself where it is none any more.

    Questions and alarms are asked again; other kinds are found again by `gaps_refresh`. Raises
    GapError when there is no such gap.
    """
    now = now or timezone.now()
    gap = _get(gap_id)
    question = str(gap.detail.get("question") or "")
    if gap.state != State.OPEN or not question:
        return gap
    if gap.kind == Gap.Kind.ALARM:
        asked = procedure_for(alarm=gap.key, question=question, closing=gap.closing)
    else:
        asked = ask_again(question=question, closing=gap.closing)
    with transaction.atomic():
        gap = Gap.objects.select_for_update().get(pk=gap_id)
        if gap.state != State.OPEN:
            return gap
        gap.checked_at = now
        gap.detail = {**gap.detail, "nearest": asked.nearest}
        if asked.document_id is not None:
            _close(gap, now, f"Asked again: answered from “{asked.title}”.", asked.document_id)
        else:
            gap.note = _still_open(gap, asked)
            gap.save()
    return gap


def _still_open(gap: Gap, asked: Asked) -> str:
    if asked.problem:
        return f"Could not be asked again: {asked.problem}"[:MAX_REASON_CHARS]
    if gap.closing_id:
        return "Asked again: still not answered, although a document was named for it."
    return gap.note


def gap_assign(*, gap_id: int, owner: str) -> Gap:
    """Give an open gap an owner; an empty one takes the owner away."""
    owner = " ".join(owner.split())[:200]
    if Gap.objects.filter(pk=gap_id, state=State.OPEN).update(owner=owner) != 1:
        raise _not_open(gap_id)
    return _get(gap_id)


def gap_link(*, gap_id: int, document: Document, user: Any) -> Gap:
    """Name the document that closes a gap, and look at once whether it does.

    The gap closes when its question is answered now; else it stays open and its note says so.
    Kinds without a question (a review date, a failed import) close by themselves.
    """
    updated = Gap.objects.filter(pk=gap_id, state=State.OPEN).update(
        closing=document, decided_by_id=user.pk, checked_at=None
    )
    if updated != 1:
        raise _not_open(gap_id)
    return gap_check(gap_id=gap_id)


def gap_dismiss(*, gap_id: int, user: Any, reason: str) -> Gap:
    """Say with a reason that a gap is none; it is not opened again by itself."""
    reason = " ".join(reason.split())[:MAX_REASON_CHARS]
    if not reason:
        raise GapError(
            "dismissing a gap needs a reason: others see it in the list",
            code="reason_required",
            status=400,
        )
    updated = Gap.objects.filter(pk=gap_id, state=State.OPEN).update(
        state=State.DISMISSED, note=reason, decided_by_id=user.pk, decided_at=timezone.now()
    )
    if updated != 1:
        raise _not_open(gap_id)
    return _get(gap_id)


def gap_reopen(*, gap_id: int, user: Any) -> Gap:
    """Open a closed or dismissed gap again; it is asked again at the next look."""
    updated = (
        Gap.objects.filter(pk=gap_id)
        .exclude(state=State.OPEN)
        .update(
            state=State.OPEN,
            note="",
            closing=None,
            checked_at=None,
            decided_by_id=user.pk,
            decided_at=None,
        )
    )
    if updated != 1:
        gap = _get(gap_id)
        raise GapError(f"gap {gap.pk} “{gap.title}” is open already")
    return _get(gap_id)


def _get(gap_id: int) -> Gap:
    gap = (
        Gap.objects.select_related("subject", "closing__collection", "decided_by")
        .filter(pk=gap_id)
        .first()
    )
    if gap is None:
        raise GapError(f"gap {gap_id} does not exist", code="not_found", status=404)
    return gap


def _not_open(gap_id: int) -> GapError:
    gap = _get(gap_id)
    who = f" by {gap.decided_by.get_username()}" if gap.decided_by else ""
    return GapError(
        f"gap {gap.pk} “{gap.title}” is {gap.get_state_display().lower()}{who}; open it again first"
    )
