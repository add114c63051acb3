"""What if: a question to the twin at once, the catalogue, and runs with many draws."""

from __future__ import annotations

import threading
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import WhatIfRun, WhatIfState
from facilities.tracking.live import current
from facilities.twin.drive import DRIVES
from facilities.twin.site import SiteError
from facilities.whatif import runs
from facilities.whatif.ask import TooLongError, question_for, whatif_ask
from facilities.whatif.catalogue import ENTRIES, entries_for
from facilities.whatif.export import answer_csv
from facilities.whatif.limits import data_list
from facilities.whatif.question import QuestionError

from .common import Pages, choice, refuse, text
from .whatif_shapes import (
    WhatIfAnswerSerializer,
    WhatIfCatalogueSerializer,
    WhatIfQuestionSerializer,
    WhatIfRunDetailSerializer,
    WhatIfRunSerializer,
)

MAX_BODY_BYTES: Final = 64 * 1024
AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Questions computed by one process at the same time; more would only wait for one another."""


class TooLargeError(APIException):
    """The body is larger than any question."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class BusyError(APIException):
    """As many questions as may be are being computed."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "busy"
    default_detail = "The twin is answering other questions; ask again in a few seconds."


class UnprocessableError(APIException):
    """The question is well formed and still cannot be answered."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class ConflictError(APIException):
    """The run is not in a state for this."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class TwinView(APIView):
    """Turns what the twin refuses into answers with a code and a sentence."""

    def handle_exception(self, exc: Exception) -> Response:
        """Map the twin's own errors."""
        if isinstance(exc, QuestionError):
            exc = ValidationError({exc.field: [str(exc)]})
        elif isinstance(exc, TooLongError):
            exc = UnprocessableError(str(exc), code="too_long")
        elif isinstance(exc, SiteError):
            exc = UnprocessableError(str(exc), code="not_simulated")
        elif isinstance(exc, runs.RunError):
            exc = ConflictError(str(exc))
        return super().handle_exception(exc)

    def question(self) -> Any:
        """The body, if it is of a size that a question can have."""
        length = self.request.META.get("CONTENT_LENGTH") or ""
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise TooLargeError(
                f"send a body of at most {MAX_BODY_BYTES:,} bytes with its Content-Length, "
                f"not {length or 'one of unknown size'}"
            )
        data = self.request.data
        if not isinstance(data, dict):
            raise QuestionError("question", "send a JSON object with changes and duration_s")
        return data


class WhatIf(TwinView):
    """A question answered at once."""

    @extend_schema(
        operation_id="twin_whatif",
        summary="What if",
        request=WhatIfQuestionSerializer,
        responses={
            200: WhatIfAnswerSerializer,
            400: OpenApiResponse(description="A field is wrong; the detail says what would do"),
            413: OpenApiResponse(description="The body is too large"),
            422: OpenApiResponse(description="`too_long` or `not_simulated`"),
            429: OpenApiResponse(description="Other questions are being answered"),
        },
    )
    def post(self, request: Request) -> Response:
        """Simulate doing nothing and the changes from the live state, side by side."""
        data = self.question()
        if not AT_ONCE.acquire(timeout=5):
            raise BusyError
        try:
            live = current()
            return Response(whatif_ask(question_for(data, live, data_list()), live=live))
        finally:
            AT_ONCE.release()


class WhatIfCatalogue(TwinView):
    """What may be asked."""

    @extend_schema(
        operation_id="twin_whatif_catalogue",
        summary="Actions, faults and outside changes that may be asked",
        parameters=[
            OpenApiParameter("asset", str, description="Only of this asset, with its limits now")
        ],
        responses=WhatIfCatalogueSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the entries and, of one asset, its limits and drives with their present values."""
        tag = text(request, "asset")
        if not tag:
            entries = [_entry(entry) for entry in ENTRIES.values()]
            return Response({"asset": None, "kind": None, "entries": entries, "drives": []})
        live, listed = current(), data_list()
        site = live.twin.site
        if tag != "site" and tag not in site.place:
            raise refuse("asset", f"{tag[:80]!r} is not an asset of the data list")
        kind, row = ("site", 0) if tag == "site" else site.locate(tag)
        entries = []
        for entry in entries_for(kind):
            span = entry.span(site, listed, tag)
            entries.append({**_entry(entry), "low": span.low, "high": span.high})
        drives = []
        for (of, quantity), spec in DRIVES.items():
            if of == kind:
                now = float(live.drive[of, quantity][0, row])
                span = listed.span(kind, tag, quantity)
                drives.append(
                    {
                        "quantity": quantity,
                        "meaning": spec.meaning,
                        "role": spec.role,
                        "unit": spec.unit,
                        "now": now if now == now else None,
                        "low": span.low,
                        "high": span.high,
                    }
                )
        return Response({"asset": tag, "kind": kind, "entries": entries, "drives": drives})


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "group": entry.group,
        "kinds": list(entry.kinds),
        "asks": entry.asks,
        "default": entry.default if entry.asks else None,
        "unit": entry.unit if entry.asks else "",
        "relative": entry.relative,
        "ramp_s": entry.ramp_s,
        "low": entry.low,
        "high": entry.high,
    }


class RunList(TwinView, generics.ListAPIView[WhatIfRun]):
    """Runs of workers, newest first."""

    serializer_class = WhatIfRunSerializer
    pagination_class = Pages
    queryset = WhatIfRun.objects.none()

    def get_queryset(self) -> Any:
        """Apply the filter of the query string."""
        found = runs.runs_listed()
        state = choice(self.request, "state", WhatIfState.values)
        return found.filter(state=state) if state else found

    @extend_schema(
        operation_id="twin_whatif_runs_list",
        summary="What-if runs",
        parameters=[OpenApiParameter("state", str, enum=WhatIfState.values)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of runs, without their answers."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="twin_whatif_runs_create",
        summary="Have a worker answer a question with many draws",
        request=WhatIfQuestionSerializer,
        responses={202: WhatIfRunSerializer},
    )
    def post(self, request: Request) -> Response:
        """Check the question and put it in front of a worker. Needs the role operator."""
        _must(request, "facilities.add_whatifrun", "start runs")
        run = runs.run_create(question=self.question(), user=request.user)
        return Response(WhatIfRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


def _must(request: Request, permission: str, what: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied(f"{request.user.get_username()} may not {what} (needs {permission})")


def _run(pk: int) -> WhatIfRun:
    run = WhatIfRun.objects.select_related("requested_by").filter(pk=pk).first()
    if run is None:
        raise NotFound(f"there is no what-if run {pk}")
    return run


class RunDetail(TwinView):
    """One run."""

    @extend_schema(
        operation_id="twin_whatif_runs_read",
        summary="A what-if run",
        responses=WhatIfRunDetailSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        """Return the run with its question, progress and answer."""
        return Response(WhatIfRunDetailSerializer(_run(pk)).data)

    @extend_schema(
        operation_id="twin_whatif_runs_delete", summary="Delete a run", responses={204: None}
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Delete one's own run, or any with the role supervisor. An open one is cancelled first."""
        run = _run(pk)
        if run.requested_by_id != request.user.pk:
            _must(request, "facilities.delete_whatifrun", "delete somebody else's run")
        runs.run_cancel(run_id=pk)
        run.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class RunCancel(TwinView):
    """Stop a run."""

    @extend_schema(
        operation_id="twin_whatif_runs_cancel",
        summary="Cancel a run",
        request=None,
        responses=WhatIfRunSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Cancel one's own run, or any with the role supervisor."""
        run = _run(pk)
        if run.requested_by_id != request.user.pk:
            _must(request, "facilities.delete_whatifrun", "cancel somebody else's run")
        if not runs.run_cancel(run_id=pk):
            raise ConflictError(f"run {pk} has ended already: {run.get_state_display().lower()}")
        return Response(WhatIfRunSerializer(_run(pk)).data)


class RunAgain(TwinView):
    """The same question from the state that is live now."""

    @extend_schema(
        operation_id="twin_whatif_runs_again",
        summary="Run again",
        request=None,
        responses={202: WhatIfRunSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask the question of a run again."""
        _must(request, "facilities.add_whatifrun", "start runs")
        run = runs.run_again(run=_run(pk), user=request.user)
        return Response(WhatIfRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


def _answered(pk: int) -> WhatIfRun:
    run = _run(pk)
    if run.answer is None:
        raise ConflictError(f"run {pk} has no answer: {run.get_state_display().lower()}")
    return run


def _as_file(pk: int, kind: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="what-if-{pk}.{kind}"'}


class RunExportCsv(TwinView):
    """The answer as a table."""

    @extend_schema(
        operation_id="twin_whatif_runs_export_csv",
        summary="The answer of a run as CSV",
        responses={(200, "text/csv"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Return one line per moment and series."""
        run = _answered(pk)
        return HttpResponse(
            answer_csv(run.answer or {}),
            content_type="text/csv; charset=utf-8",
            headers=_as_file(pk, "csv"),
        )


class RunExportJson(TwinView):
    """Question and answer as a file."""

    @extend_schema(
        operation_id="twin_whatif_runs_export_json",
        summary="Question and answer of a run as JSON",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, pk: int) -> Response:
        """Return both, to keep or to ask again elsewhere."""
        run = _answered(pk)
        body = {"question": run.question, "answer": run.answer}
        return Response(body, headers=_as_file(pk, "json"))
