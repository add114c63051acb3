"""HTML pages of sources: who pushes, how much, with which converter; tokens shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from facilities.converters.document import DocumentError
from facilities.converters.maps import ready_maps
from facilities.converters.preview import preview
from facilities.models import Converter, Source, SourceFlow
from facilities.models.source import clean_networks
from facilities.services.converters import converter_save
from facilities.services.sources import (
    SourceExists,
    source_create,
    source_revoke,
    source_rotate,
    source_update,
)

FLOW_MINUTES = 60
MANAGE = "facilities.manage_sources"


class SourceForm(forms.ModelForm):
    """Settings of a source; networks one a line."""

    networks = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "10.20.0.0/16"}),
        label="Allowed networks",
        help_text="One a line. Empty: from anywhere.",
    )

    class Meta:
        model = Source
        fields = (
            "name",
            "owner",
            "active",
            "expires_at",
            "max_readings_per_s",
            "heartbeat_timeout_s",
            "auto_register",
            "auto_register_limit",
            "kept_messages",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["networks"].initial = "\n".join(self.instance.allowed_networks or [])
        for field in self.fields.values():
            if not isinstance(field.widget, forms.CheckboxInput):
                field.widget.attrs["class"] = "input"

    def clean(self) -> dict[str, Any]:
        """Take the networks apart and check them; the form has no field of the model's name."""
        data = super().clean() or {}
        try:
            self.instance.allowed_networks = clean_networks(
                self.instance.name, data.get("networks", "").split()
            )
        except ValidationError as error:
            self.add_error("networks", error.messages)
        return data

    def settings(self) -> dict[str, Any]:
        """The values for the service."""
        data = {name: self.cleaned_data[name] for name in self.Meta.fields}
        return {**data, "allowed_networks": self.instance.allowed_networks}


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def sources(request: HttpRequest) -> HttpResponse:
    """Every source; those who may create one here and see its token once."""
    may_manage = request.user.has_perm(MANAGE)
    context: dict[str, Any] = {"nav": "sources", "may_manage": may_manage}
    if request.method == "POST":
        if not may_manage:
            raise PermissionDenied("Your role does not manage sources; ask a supervisor.")
        name = request.POST.get("name", "").strip()
        try:
            context["issued"] = source_create(
                name=name,
                auto_register=bool(request.POST.get("auto_register")),
                by=request.user.get_username(),
            )
        except SourceExists as error:
            context |= {"problem": str(error), "name": name}
        except ValidationError as error:
            context |= {"problem": " ".join(error.messages), "name": name}
    since = timezone.now() - timedelta(minutes=5)
    context["sources"] = Source.objects.annotate(
        waiting=Count("quarantined", filter=Q(quarantined__state="waiting"))
    ).order_by("name")
    flows = SourceFlow.objects.filter(minute__gte=since).values("source").annotate(n=Sum("stored"))
    rates = {row["source"]: (row["n"] or 0) / 300 for row in flows}
    context["rows"] = [(source, rates.get(source.pk)) for source in context["sources"]]
    return render(request, "facilities/sources.html", context)


@require_safe
@login_required
def source(request: HttpRequest, pk: int) -> HttpResponse:
    """One source: its flow, points, quarantine, messages, settings and token."""
    found = get_object_or_404(Source, pk=pk)
    return render(request, "facilities/source.html", _context(request, found))


def _context(request: HttpRequest, found: Source) -> dict[str, Any]:
    may_manage = request.user.has_perm(MANAGE)
    flows = list(
        SourceFlow.objects.filter(
            source=found, minute__gte=timezone.now() - timedelta(minutes=FLOW_MINUTES)
        ).order_by("minute")
    )
    return {
        "nav": "sources",
        "source": found,
        "may_manage": may_manage,
        "flow": _summed(flows),
        "spark": _spark(flows),
        "minutes": FLOW_MINUTES,
        "reasons": list(
            found.quarantined.filter(state="waiting")
            .values("code")
            .annotate(n=Count("pk"))
            .order_by("-n")
        ),
        "dropped": found.quarantine_drops.aggregate(n=Sum("count"))["n"] or 0,
        "points": found.points.aggregate(
            total=Count("pk"), raw=Count("pk", filter=Q(verified=False))
        ),
        "converter": Converter.objects.filter(source=found).first(),
        "messages_kept": list(found.messages.all()[:5]) if may_manage else [],
        "form": SourceForm(instance=found) if may_manage else None,
    }


def _summed(flows: list[SourceFlow]) -> dict[str, float] | None:
    if not flows:
        return None
    names = ("requests", "refused", "received", "decoded", "converted", "rejected", "stored")
    total: dict[str, float] = {
        name: sum(getattr(flow, name) for flow in flows)
        for name in (*names, "flagged", "late", "duplicates", "bytes")
    }
    requests, stored = max(total["requests"], 1), max(total["stored"], 1)
    total["performance_s"] = sum(flow.performance_s for flow in flows) / stored
    for step in ("transform", "transfer"):
        total[f"{step}_ms"] = 1e3 * sum(getattr(flow, f"{step}_s") for flow in flows) / requests
        total[f"{step}_max_ms"] = 1e3 * max(getattr(flow, f"{step}_max_s") for flow in flows)
    total["performance_max_s"] = max(flow.performance_max_s for flow in flows)
    return total


def _spark(flows: list[SourceFlow]) -> dict[str, Any] | None:
    """Points of an SVG polyline, 600 by 60, of readings stored per minute."""
    if len(flows) < 2:
        return None
    start = flows[0].minute.timestamp()
    span = max(flows[-1].minute.timestamp() - start, 60.0)
    top = max(max(flow.stored for flow in flows), 1)
    line = " ".join(
        f"{600 * (flow.minute.timestamp() - start) / span:.1f},{58 - 56 * flow.stored / top:.1f}"
        for flow in flows
    )
    return {"line": line, "top": top, "top_rate": top / 60}


@require_POST
@login_required
@permission_required(MANAGE, raise_exception=True)
def source_settings(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the settings."""
    found = get_object_or_404(Source, pk=pk)
    form = SourceForm(request.POST, instance=found)
    if form.is_valid():
        try:
            source_update(source_id=pk, **form.settings())
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            messages.success(request, f"Settings of {found.name} saved; in force within a second.")
            return redirect("facilities:source", pk)
    context = _context(request, Source.objects.get(pk=pk))
    return render(request, "facilities/source.html", {**context, "form": form}, status=400)


@require_POST
@login_required
@permission_required(MANAGE, raise_exception=True)
def source_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Rotate (the new token is on this answer and nowhere else) or revoke."""
    found = get_object_or_404(Source, pk=pk)
    if request.POST.get("action") == "revoke":
        source_revoke(source_id=pk, by=request.user.get_username())
        messages.success(request, f"{found.name} is switched off and its token is worthless.")
        return redirect("facilities:source", pk)
    issued = source_rotate(
        source_id=pk,
        expires_at=found.expires_at if not found.expired else None,
        by=request.user.get_username(),
    )
    answer = render(
        request, "facilities/source.html", {**_context(request, issued.source), "issued": issued}
    )
    answer["Cache-Control"] = "no-store"
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(MANAGE, raise_exception=True)
def source_converter(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit the converter; tried on the last messages before it is saved."""
    found = get_object_or_404(Source, pk=pk)
    stored = Converter.objects.filter(source=found).select_related("updated_by").first()
    document = stored.document if stored else ""
    problems: list[str] = []
    if request.method == "POST":
        document = request.POST.get("document", "").replace("\r\n", "\n")[:100_000]
        if request.POST.get("action") == "save":
            try:
                converter_save(source=found, document=document, user=request.user)
            except DocumentError as error:
                problems = error.problems
            else:
                messages.success(request, f"Converter of {found.name} saved and in force.")
                return redirect("facilities:source-converter", pk)
    shown = None
    if not problems:
        try:
            shown = preview(source=found, document=document)
        except DocumentError as error:
            problems = error.problems
    context = {
        "nav": "sources",
        "source": found,
        "stored": stored,
        "document": document,
        "changed": document != (stored.document if stored else ""),
        "problems": problems,
        "preview": shown,
        "maps": ready_maps().values(),
    }
    return render(request, "facilities/converter.html", context, status=400 if problems else 200)
