"""Outcome reports: submitted by whoever closed something, released by a supervisor.

Another app hands in what happened as Markdown of recorded facts (`report_submit`); this one knows
nothing of where it comes from. Released, a report is a document of the kind report in the
collection `experience`, imported on the same road as every other. Undoing a release withdraws the
document and makes the report a draft again.
"""

from collections.abc import Iterable
from typing import Any

import yaml
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from rag.access import OPEN_ONLY, Reader, readable
from rag.intake.importing import collection_get_or_create, document_import
from rag.intake.lifecycle import document_restore, document_withdraw, event_record
from rag.models import DocumentEvent, Kind, OutcomeReport, Revision
from rag.parsing import ParseError

EXPERIENCE = "experience"
MAX_BODY_CHARS = 60_000
MAX_NOTE_CHARS = 2_000
MAX_REASON_CHARS = 500

State = OutcomeReport.State


class ReportError(Exception):
    """A refusal, with the status that the API answers."""

    def __init__(self, detail: str, *, code: str = "conflict", status: int = 409) -> None:
        super().__init__(detail)
        self.detail, self.code, self.status = detail, code, status


def report_submit(
    *, reference: str, title: str, body: str, facts: dict[str, Any], url: str = ""
) -> OutcomeReport:
    """Store a report as a draft; the same reference again returns the one that is there.

    `reference` is at most 80 characters of letters, digits and hyphens, `body` Markdown of
    recorded facts, `facts` the same as JSON for comparisons.
    """
    report, _created = OutcomeReport.objects.get_or_create(
        reference=reference,
        defaults={
            "title": title[:300],
            "body": body[:MAX_BODY_CHARS],
            "facts": facts,
            "url": url[:300],
        },
    )
    return report


def references_known(references: Iterable[str]) -> set[str]:
    """Those of the references that have a report, in whatever state. One query."""
    found = OutcomeReport.objects.filter(reference__in=list(references))
    return set(found.values_list("reference", flat=True))


def report_release(*, report_id: int, user: Any, note: str = "") -> OutcomeReport:
    """Make a draft a document of the collection `experience`; answers cite it once embedded.

    The facts stay as they are; `note` is added below them with the supervisor's name. Raises
    ReportError when it is no draft, or when the import refuses it.
    """
    note = " ".join(note.split())[:MAX_NOTE_CHARS]
    with transaction.atomic():
        report = _claim(report_id, State.DRAFT, State.RELEASED, user, note=note, reason="")
        try:
            outcome = document_import(
                data=_as_file(report, user).encode(),
                source_path=f"{report.reference}.md",
                collection=collection_get_or_create(slug=EXPERIENCE, name="Experience"),
                kind=Kind.REPORT,
                user=user,
            )
        except ParseError as error:
            raise ReportError(
                f"report {report.reference}: {error}", code="unreadable", status=400
            ) from error
        if outcome.document.withdrawn_at is not None:
            document_restore(document=outcome.document, user=user, reason="Report released again")
        event_record(
            document=outcome.document,
            action=DocumentEvent.Action.RELEASED,
            user=user,
            reason=report.reference,
        )
        report.document = outcome.document
        report.save(update_fields=["document"])
    return report


def report_dismiss(*, report_id: int, user: Any, reason: str) -> OutcomeReport:
    """Keep a draft out of the knowledge base, with a reason."""
    reason = _reason(reason, "a dismissal")
    with transaction.atomic():
        return _claim(report_id, State.DRAFT, State.DISMISSED, user, reason=reason)


def report_withdraw(*, report_id: int, user: Any, reason: str) -> OutcomeReport:
    """Undo a release: the document is withdrawn, the report is a draft again."""
    reason = _reason(reason, "withdrawing a report")
    with transaction.atomic():
        report = _claim(report_id, State.RELEASED, State.DRAFT, user, reason=reason)
        if report.document is not None and report.document.withdrawn_at is None:
            document_withdraw(document=report.document, user=user, reason=reason)
    return report


def report_reopen(*, report_id: int, user: Any) -> OutcomeReport:
    """Undo a dismissal: the report is a draft again."""
    with transaction.atomic():
        return _claim(report_id, State.DISMISSED, State.DRAFT, user, reason="")


def released(*, reader: Reader = OPEN_ONLY, **facts: Any) -> QuerySet[OutcomeReport]:
    """Released reports whose document is in force and readable, newest first.

    `facts` must be equal to those of the report (`kind="start_standby_crac"`).
    """
    in_force = Revision.objects.in_force().values("document")
    found = OutcomeReport.objects.filter(
        readable(reader, "document__collection"), state=State.RELEASED, document__in=in_force
    )
    for name, value in facts.items():
        found = found.filter(**{f"facts__{name}": value})
    return found.select_related("document").order_by("-created_at", "-pk")


def _claim(report_id: int, source: str, target: str, user: Any, **fields: Any) -> OutcomeReport:
    """Move exactly one report from `source` to `target`, or say who was first."""
    now = timezone.now()
    claimed = OutcomeReport.objects.filter(pk=report_id, state=source).update(
        state=target, decided_by_id=user.pk, decided_at=now, **fields
    )
    report = (
        OutcomeReport.objects.select_related("document", "decided_by").filter(pk=report_id).first()
    )
    if report is None:
        raise ReportError(f"report {report_id} does not exist", code="not_found", status=404)
    if claimed != 1:
        who = f" by {report.decided_by.get_username()}" if report.decided_by else ""
        raise ReportError(
            f"report {report.reference} is {report.get_state_display().lower()}{who}; only "
            f"{State(source).label.lower()} ones can become {State(target).label.lower()}"
        )
    return report


def _reason(reason: str, what: str) -> str:
    reason = " ".join(reason.split())[:MAX_REASON_CHARS]
    if not reason:
        raise ReportError(
            f"{what} needs a reason: the next shift learns from it",
            code="reason_required",
            status=400,
        )
    return reason


def _as_file(report: OutcomeReport, user: Any) -> str:
    """The Markdown file that is imported: front matter, the facts, the supervisor's note."""
    front = yaml.safe_dump(
        {
            "id": f"REPORT-{report.reference}".upper(),
            "title": report.title,
            "kind": Kind.REPORT.value,
            "author": "Recorded facts",
            "approver": user.get_username(),
        },
        allow_unicode=True,
        sort_keys=False,
    )
    note = (
        f"\n## Note of the supervisor\n\n{user.get_username()}: {plain(report.note)}\n"
        if report.note
        else ""
    )
    return f"---\n{front}---\n\n{report.body.rstrip()}\n{note}"


def plain(text: str) -> str:
    """Words of people or machines as one line of Markdown that means nothing but itself."""
    line = " ".join(str(text).split())
    for mark in "\\`*[]<>|#":
        line = line.replace(mark, f"\\{mark}")
    return line
