"""Imports: how far every file has come, what failed and what to do. Signed-in users only."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from rag.access import Reader, collections_of, readable
from rag.intake.progress import import_jobs, model_row
from rag.models import ACTIVE_STATES, EmbeddingModel, ImportJob, WatchedFile

PAGE_SIZE = 50
# The page asks for progress while something is on its way; a lost worker is told after a minute.
SILENT_AFTER_S = 60
WATCHED_SHOWN = 20

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "active": ("On their way", ACTIVE_STATES),
    "failed": ("Failed", (ImportJob.State.FAILED,)),
    "done": ("Finished", (ImportJob.State.DONE, ImportJob.State.UNCHANGED)),
    "cancelled": ("Cancelled", (ImportJob.State.CANCELLED,)),
}


@require_GET
@login_required
def imports(request: HttpRequest) -> HttpResponse:
    """Jobs by state, collection and words of the path, with the watch folder's troubles."""
    reader = Reader.of(request.user)
    wanted = {
        name: request.GET.get(name, "").strip().replace("\x00", "")[:200]
        for name in ("state", "collection", "origin", "text")
    }
    everything = import_jobs(reader)
    counts = everything.order_by().aggregate(
        all=Count("pk"),
        **{name: Count("pk", filter=Q(state__in=states)) for name, (_, states) in GROUPS.items()},
    )
    found = everything
    if wanted["state"] in GROUPS:
        found = found.filter(state__in=GROUPS[wanted["state"]][1])
    if wanted["collection"]:
        found = found.filter(collection__slug=wanted["collection"])
    if wanted["origin"] in ImportJob.Origin.values:
        found = found.filter(origin=wanted["origin"])
    if wanted["text"]:
        found = found.filter(
            Q(source_path__icontains=wanted["text"]) | Q(note__icontains=wanted["text"])
        )
    context: dict[str, Any] = {
        "nav": "imports",
        "wanted": wanted,
        "is_filtered": any(wanted.values()),
        "tabs": [("", "All", counts["all"])]
        + [(name, label, counts[name]) for name, (label, _) in GROUPS.items()],
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "collections": collections_of(reader).order_by("name"),
        "origins": ImportJob.Origin.choices,
        "is_silent": _is_silent(reader) if counts["active"] else False,
        "models": _models_shown(),
        "watch_dir": settings.WATCH_DIR,
        "may_act_on_all": request.user.has_perm("rag.change_document"),
        **(_watched(reader) if settings.WATCH_DIR else {}),
    }
    return render(request, "rag/imports.html", context)


def _is_silent(reader: Reader) -> bool:
    """Whether files have waited for a minute and nobody has worked on any."""
    before = timezone.now() - timedelta(seconds=SILENT_AFTER_S)
    jobs = ImportJob.objects.filter(readable(reader, "collection"))
    waits = jobs.filter(state=ImportJob.State.QUEUED, created_at__lt=before).exists()
    return waits and not ImportJob.objects.filter(touched_at__gte=before).exists()


def _models_shown() -> list[dict[str, Any]]:
    """The embedding model that is being filled, with its progress; usually none."""
    building = EmbeddingModel.objects.filter(state=EmbeddingModel.State.BUILDING)
    return [model_row(model) for model in building]


def _watched(reader: Reader) -> dict[str, Any]:
    """Files of the watch folder that are missing or cannot be taken, of readable collections.

    What lies in no collection's folder is shown to those who read everything.
    """
    readable_slugs = set(collections_of(reader).values_list("slug", flat=True))
    troubled = WatchedFile.objects.filter(Q(missing_since__isnull=False) | ~Q(problem=""))
    shown = [
        row
        for row in troubled.order_by("path")[:500]
        if reader.sees_all or row.path.split("/")[0].lower() in readable_slugs
    ]
    return {"watched": shown[:WATCHED_SHOWN], "watched_more": max(0, len(shown) - WATCHED_SHOWN)}
