"""Pages of PDF files as pictures, and the files themselves. Signed-in readers only."""

import re
from pathlib import PurePosixPath

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from rag.access import Reader, readable
from rag.models import Document, Revision, StoredFile
from rag.selectors import revision_shown
from rag.viewing.page_images import SCALES, PageError
from rag.viewing.page_images import page_image as draw_page

#: Types that are named as they are; everything else leaves as plain bytes.
_TYPES = {
    "application/pdf", "text/plain", "text/markdown",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}  # fmt: skip
_STATUS = {"no_such_page": 404, "unreadable": 422, "too_slow": 422, "busy": 503}


def document_for(request: HttpRequest, slug: str) -> Document:
    """The document, if the caller may read it; else it does not exist."""
    found = Document.objects.filter(readable(Reader.of(request.user), "collection"))
    return get_object_or_404(found.select_related("collection"), slug=slug)


def revision_for(request: HttpRequest, document: Document) -> Revision:
    """The revision that `?revision=` names, without one the one that is shown."""
    number = request.GET.get("revision", "")
    wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
    revision = revision_shown(document=document, number=wanted)
    if revision is None:
        raise Http404("This document has no such revision.")
    return revision


@require_GET
@login_required
def page_image(request: HttpRequest, slug: str, page: int) -> HttpResponse:
    """One page as PNG; `?scale=` is 1, 1.5, 2 or 3."""
    document = document_for(request, slug)
    revision = revision_for(request, document)
    if revision.file_id is None:
        raise Http404("This revision has no file.")
    try:
        wanted = float(request.GET.get("scale", "1.5"))
    except ValueError:
        wanted = 1.5
    scale = min(SCALES, key=lambda known: abs(known - wanted)) if wanted == wanted else 1.5
    try:
        picture = draw_page(sha256=revision.file_id, page=page, scale=scale)
    except PageError as error:
        headers = {"Retry-After": "2"} if error.code == "busy" else {}
        return HttpResponse(
            f"{document.title}: {error.detail}",
            status=_STATUS.get(error.code, 422),
            content_type="text/plain; charset=utf-8",
            headers=headers,
        )
    # A revision's bytes never change, but who may read them does.
    return HttpResponse(
        picture, content_type="image/png", headers={"Cache-Control": "private, max-age=300"}
    )


@require_GET
@login_required
def original(request: HttpRequest, slug: str) -> HttpResponse:
    """The file as it was imported, to be saved; never shown by the browser."""
    document = document_for(request, slug)
    revision = revision_for(request, document)
    file = StoredFile.objects.filter(pk=revision.file_id).first()
    if file is None:
        raise Http404("This revision's file was not kept.")
    path = PurePosixPath(document.source_path)
    stem = re.sub(r"[^\w.-]+", "_", path.stem, flags=re.ASCII).strip("._") or document.slug
    suffix = re.sub(r"[^\w.]+", "", path.suffix, flags=re.ASCII)[:10]
    known = file.media_type in _TYPES
    return HttpResponse(
        bytes(file.data),
        content_type=file.media_type if known else "application/octet-stream",
        headers={
            "Content-Disposition": f'attachment; filename="{stem}-rev{revision.number}{suffix}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )
