"""HTML pages of the data list: live values, acceptance of raw points, import with preview."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from facilities.api.points import MAX_IMPORT_BYTES, points_found
from facilities.datalist import ImportProblems, StalePlan, import_apply, import_plan
from facilities.models import Point
from facilities.models.asset import AssetKind
from facilities.models.point import Stage
from facilities.stages import points_verify

PAGE_SIZE = 100
SHOWN_CHANGES = 300


@require_safe
@login_required
def points(request: HttpRequest) -> HttpResponse:
    """Data list with live values, filtered by words, kind of asset, stage and source."""
    search = _word(request, "search")
    kind = request.GET.get("kind", "")
    kind = kind if kind in AssetKind.values else ""
    stage = request.GET.get("stage", "")
    stage = stage if stage in Stage.values else ""
    source = _word(request, "source")
    found = points_found(search=search, kind=kind, stage=stage, source=source)
    context = {
        "nav": "points",
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "search": search,
        "kind": kind,
        "kinds": AssetKind.choices,
        "stage": stage,
        "stages": Stage.choices,
        "source": source,
        "may_manage": request.user.has_perm("facilities.manage_sources"),
    }
    return render(request, "facilities/points.html", context)


def _word(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\0", "").strip()


@require_POST
@login_required
@permission_required("facilities.manage_sources", raise_exception=True)
def points_accept(request: HttpRequest) -> HttpResponse:
    """Accept the chosen raw points as they stand."""
    tags = [tag for tag in request.POST.getlist("tag") if "\0" not in tag]
    count = points_verify(points=Point.objects.filter(tag__in=tags), user=request.user)
    messages.success(request, f"{count} point{'' if count == 1 else 's'} accepted as verified.")
    back = request.POST.get("next", "")
    inside = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if inside else "facilities:points")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("facilities.manage_sources", raise_exception=True)
def points_import(request: HttpRequest) -> HttpResponse:
    """Upload, look at every change, apply exactly these."""
    context: dict[str, object] = {"nav": "points", "format": "csv", "shown": SHOWN_CHANGES}
    if request.method == "POST":
        try:
            text, format = _uploaded(request)
            context |= {"text": text, "format": format}
            if request.POST.get("apply"):
                plan = import_apply(
                    text, format=format, digest=request.POST.get("digest", ""), user=request.user
                )
                messages.success(
                    request,
                    f"Applied: {plan.created} created, {plan.updated} changed, "
                    f"{plan.unchanged} as they were.",
                )
                return redirect("facilities:points")
            context["plan"] = import_plan(text, format=format, user=request.user)
        except ImportProblems as error:
            context["problems"] = error.problems
        except StalePlan as error:
            context["problems"] = [str(error)]
            context["plan"] = import_plan(text, format=format, user=request.user)
    return render(request, "facilities/points_import.html", context)


def _uploaded(request: HttpRequest) -> tuple[str, str]:
    """The file, or the text of the preview. Raises ``ImportProblems``."""
    format = "yaml" if request.POST.get("format") == "yaml" else "csv"
    file = request.FILES.get("file")
    if file is None:
        return request.POST.get("text", "").replace("\r\n", "\n"), format
    if (file.name or "").lower().endswith((".yaml", ".yml")):
        format = "yaml"
    if (file.size or 0) > MAX_IMPORT_BYTES:
        raise ImportProblems([f"the file is larger than {MAX_IMPORT_BYTES:,} bytes; split it"])
    try:
        return file.read().decode("utf-8-sig"), format
    except UnicodeDecodeError as error:
        raise ImportProblems([f"the file is not UTF-8 at byte {error.start}"]) from error
