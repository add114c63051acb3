"""Admin console of the data list, converters, derived points and the quarantine."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from facilities.admin import ReadOnly
from facilities.converters.derived_graph import derived_save
from facilities.converters.document import DocumentError, read_document
from facilities.converters.maps import rules_of
from facilities.converters.units import UnitError, ucum
from facilities.datalist import export_csv, export_yaml
from facilities.models import (
    Converter,
    CounterState,
    DerivedInput,
    DerivedPoint,
    Point,
    QuarantinedItem,
    QuarantineDrops,
    SourceMessage,
    SourceSeries,
)
from facilities.services.quarantine import quarantine_discard, quarantine_replay
from facilities.stages import points_verify

BULK_FIELDS = (
    "unit",
    "min_value",
    "max_value",
    "precision",
    "sampling_interval_s",
    "response_time_s",
    "brick_class",
    "haystack",
    "source_interface",
    "owner",
)


class BulkEditForm(forms.Form):
    """New values for many points; only the ticked fields change."""

    change = forms.MultipleChoiceField(
        choices=[(name, name) for name in BULK_FIELDS],
        widget=forms.CheckboxSelectMultiple,
        label="Fields to change",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in BULK_FIELDS:
            self.fields[name] = forms.fields_for_model(Point, [name])[name]
            self.fields[name].required = False


def points_bulk_edit(*, points: QuerySet[Point], changes: dict[str, Any]) -> int:
    """Change these fields of every point, all or none. Raises ``ValidationError`` naming each."""
    problems = []
    with transaction.atomic():
        rows = list(points.select_for_update(of=("self",)).select_related("asset").order_by("pk"))
        for row in rows:
            for name, value in changes.items():
                setattr(row, name, value)
            try:
                row.clean_fields(exclude=["asset", "source", "verified_by"])
                row.clean()
                ucum(row.unit)
            except ValidationError as error:
                problems += [f"{row.tag}: {text}" for text in error.messages]
            except UnitError as error:
                problems.append(f"{row.tag}: {error}")
        if problems:
            raise ValidationError(problems[:50])
        Point.objects.bulk_update(rows, list(changes), batch_size=500)
    return len(rows)


@admin.register(Point)
class PointAdmin(ModelAdmin):
    """Data list: bulk edit, acceptance, export."""

    list_display = ("tag", "name", "unit", "min_value", "max_value", "source", "owner", "verified")
    list_filter = ("verified", "asset__kind", "source", "writable", "source_interface")
    list_select_related = ("asset", "source")
    search_fields = ("tag", "name", "brick_class", "owner")
    autocomplete_fields = ("asset", "source")
    readonly_fields = ("verified_at", "verified_by", "auto_registered")
    actions = ("bulk_edit", "accept", "as_csv", "as_yaml")
    list_per_page = 200

    @admin.action(description="Edit chosen points together")
    def bulk_edit(self, request: HttpRequest, queryset: QuerySet[Point]) -> HttpResponse | None:
        """Ask for the fields, check every point, then change all or none."""
        form = BulkEditForm(request.POST if "bulk" in request.POST else None)
        if form.is_bound and form.is_valid():
            changes = {name: form.cleaned_data[name] for name in form.cleaned_data["change"]}
            try:
                count = points_bulk_edit(points=queryset, changes=changes)
            except ValidationError as error:
                for text in error.messages:
                    form.add_error(None, text)
            else:
                self.message_user(request, f"{count} points changed.", messages.SUCCESS)
                return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"Edit {queryset.count()} points together",
            "form": form,
            "points": queryset[:50],
            "chosen": queryset.values_list("pk", flat=True),
            "action_name": helpers.ACTION_CHECKBOX_NAME,
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/facilities/bulk_edit.html", context)

    @admin.action(description="Accept chosen points as verified")
    def accept(self, request: HttpRequest, queryset: QuerySet[Point]) -> None:
        """Verify."""
        count = points_verify(points=queryset, user=request.user)
        self.message_user(request, f"{count} points accepted.", messages.SUCCESS)

    @admin.action(description="Export chosen points as CSV")
    def as_csv(self, request: HttpRequest, queryset: QuerySet[Point]) -> HttpResponse:
        """Download CSV."""
        return _file(export_csv(queryset.select_related("asset", "source")), "csv")

    @admin.action(description="Export chosen points as YAML")
    def as_yaml(self, request: HttpRequest, queryset: QuerySet[Point]) -> HttpResponse:
        """Download YAML."""
        return _file(export_yaml(queryset.select_related("asset", "source")), "yaml")


def _file(text: str, kind: str) -> HttpResponse:
    answer = HttpResponse(text, content_type=f"text/{kind}; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="points.{kind}"'
    return answer


class ConverterForm(forms.ModelForm):
    """A converter whose document is checked."""

    class Meta:
        model = Converter
        fields = ("source", "document", "enabled")

    def clean_document(self) -> str:
        """Refuse what the request path could not use."""
        text: str = self.cleaned_data["document"]
        try:
            rules_of(read_document(text))
        except DocumentError as error:
            raise ValidationError(error.problems) from error
        return text


@admin.register(Converter)
class ConverterAdmin(ModelAdmin):
    """Converters; the source's page has the preview."""

    form = ConverterForm
    list_display = ("source", "enabled", "updated_at", "updated_by")
    list_select_related = ("source", "updated_by")


@admin.register(DerivedPoint)
class DerivedPointAdmin(ModelAdmin):
    """Derived points."""

    list_display = ("point", "expression", "enabled", "problem", "updated_at")
    list_filter = ("enabled",)
    list_select_related = ("point",)
    search_fields = ("point__tag", "expression")
    autocomplete_fields = ("point",)

    def save_model(self, request: HttpRequest, obj: DerivedPoint, form: Any, change: bool) -> None:
        """Save with its inputs."""
        derived_save(derived=obj)


@admin.register(DerivedInput)
class DerivedInputAdmin(ReadOnly):
    """What feeds what."""

    list_display = ("derived", "point")
    list_select_related = ("derived__point", "point")


@admin.register(SourceSeries)
class SourceSeriesAdmin(ModelAdmin):
    """Series that registration, or a person, gave a point."""

    list_display = ("source", "key", "point", "registered_at")
    list_filter = ("source",)
    list_select_related = ("source", "point")
    search_fields = ("key", "point__tag")
    autocomplete_fields = ("source", "point")


@admin.register(CounterState)
class CounterStateAdmin(ReadOnly):
    """The last counts of counters."""

    list_display = ("key", "source", "updated_at")
    list_select_related = ("source",)
    search_fields = ("key",)


@admin.register(SourceMessage)
class SourceMessageAdmin(ReadOnly):
    """The last messages of sources."""

    list_display = ("source", "at", "format", "total", "size")
    list_filter = ("source",)
    list_select_related = ("source",)


@admin.register(QuarantinedItem)
class QuarantinedItemAdmin(ReadOnly):
    """Rejected items: search, replay, discard."""

    list_display = ("at", "source", "code", "series", "state", "attempts")
    list_filter = ("state", "code", "source")
    list_select_related = ("source",)
    search_fields = ("series", "raw", "detail")
    date_hierarchy = "at"
    actions = ("replay", "discard")

    @admin.action(description="Replay chosen items", permissions=["view"])
    def replay(self, request: HttpRequest, queryset: QuerySet[QuarantinedItem]) -> None:
        """Try again."""
        done = quarantine_replay(items=queryset)
        self.message_user(
            request,
            f"{done.tried} tried: {done.stored} stored, {done.repeated} stored before, "
            f"{done.waiting} still waiting.",
            messages.SUCCESS,
        )

    @admin.action(description="Discard chosen items", permissions=["view"])
    def discard(self, request: HttpRequest, queryset: QuerySet[QuarantinedItem]) -> None:
        """Not wanted."""
        count = quarantine_discard(items=queryset)
        self.message_user(request, f"{count} items discarded.", messages.SUCCESS)


@admin.register(QuarantineDrops)
class QuarantineDropsAdmin(ReadOnly):
    """What the bounds dropped."""

    list_display = ("day", "source", "reason", "count")
    list_filter = ("reason", "source")
    list_select_related = ("source",)
