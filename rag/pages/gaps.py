"""What the documents should say and do not. Signed-in users only."""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from rag.access import Reader, collections_of, readable
from rag.growth.gaps import gaps
from rag.models import Document, Gap

PAGE_SIZE = 50
EXPORTED = 10_000
COLUMNS = (
    "id", "kind", "state", "title", "count", "owner", "note", "document", "closed by",
    "first seen", "last met", "checked",
)  # fmt: skip


@require_GET
@login_required
def gap_list(request: HttpRequest) -> HttpResponse:
    """Gaps by kind, state and owner."""
    reader = Reader.of(request.user)
    wanted = _wanted(request)
    everything = gaps(reader=reader)
    opened = dict(
        everything.filter(state=Gap.State.OPEN)
        .order_by()
        .values_list("kind")
        .annotate(count=Count("pk"))
    )
    context = {
        "nav": "gaps",
        "page": Paginator(_filtered(everything, wanted), PAGE_SIZE).get_page(
            request.GET.get("page")
        ),
        "wanted": wanted,
        "tabs": [(value, label, opened.get(value, 0)) for value, label in Gap.Kind.choices],
        "open_count": sum(opened.values()),
        "states": Gap.State.choices,
        "owners": sorted(
            set(
                Document.objects.filter(readable(reader, "collection"))
                .exclude(owner="")
                .values_list("owner", flat=True)
            )
            | {request.user.get_username()}
        ),
        "readable": set(collections_of(reader).values_list("pk", flat=True)),
        "today": timezone.now().date(),
    }
    return render(request, "rag/gaps.html", context)


@require_GET
@login_required
def gap_export(request: HttpRequest) -> StreamingHttpResponse:
    """The same list as CSV (UTF-8 with a mark, as spreadsheets want it)."""
    reader = Reader.of(request.user)
    allowed = set(collections_of(reader).values_list("pk", flat=True))
    found = _filtered(gaps(reader=reader), _wanted(request))[:EXPORTED]
    name = f"gaps-{timezone.now():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        _lines(list(found), allowed),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class _Echo:
    """A file that hands back what is written, for `csv.writer`."""

    def write(self, value: str) -> str:
        return value


def _lines(rows: list[Gap], allowed: set[int]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for gap in rows:
        closing = gap.closing
        yield writer.writerow(
            cell(value)
            for value in (
                gap.pk,
                gap.get_kind_display(),
                gap.get_state_display(),
                gap.title,
                gap.count,
                gap.owner,
                gap.note,
                gap.subject.slug if gap.subject else "",
                closing.slug if closing and closing.collection_id in allowed else "",
                gap.first_seen.isoformat(timespec="seconds"),
                gap.seen_at.isoformat(timespec="seconds") if gap.seen_at else "",
                gap.checked_at.isoformat(timespec="seconds") if gap.checked_at else "",
            )
        )


def cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: questions come from anybody."""
    text = " ".join(str(value).split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _wanted(request: HttpRequest) -> dict[str, str]:
    given = request.GET
    kind, state = given.get("kind", ""), given.get("state", Gap.State.OPEN)
    return {
        "kind": kind if kind in Gap.Kind.values else "",
        "state": state if state in (*Gap.State.values, "all") else Gap.State.OPEN,
        "owner": given.get("owner", "").replace("\0", "").strip()[:200],
        "text": given.get("text", "").replace("\0", "").strip()[:200],
    }


def _filtered(found: QuerySet[Gap], wanted: dict[str, str]) -> QuerySet[Gap]:
    if wanted["kind"]:
        found = found.filter(kind=wanted["kind"])
    if wanted["state"] != "all":
        found = found.filter(state=wanted["state"])
    if wanted["owner"]:
        found = found.filter(owner="" if wanted["owner"] == "unassigned" else wanted["owner"])
    if wanted["text"]:
        found = found.filter(title__icontains=wanted["text"])
    return found
