"""The engine page: what the LLM servers do now, block by block."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from kvserve import monitor


def _place(url: str) -> str:
    """Host and port, without what else a URL may carry."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Block map, queues, rates and energy of one server; `?server=` chooses among several."""
    number = request.GET.get("server", "0")
    places = [_place(url) for url in settings.LLM_URLS]
    if not number.isdecimal() or int(number) >= len(places):
        raise Http404
    context: dict[str, Any] = {
        "nav": "engine",
        "servers": list(enumerate(places)),
        "number": int(number),
        "place": places[int(number)],
        "price": settings.ENERGY_PRICE,
    }
    return render(request, "ops_platform/engine.html", context)


@extend_schema(
    parameters=[
        OpenApiParameter(
            "since", float, description="history after this time, in seconds since 1970"
        )
    ],
    responses=inline_serializer(
        "EngineReport",
        {
            "state": serializers.ChoiceField(["ready", "loading", "down"]),
            "detail": serializers.CharField(help_text="why it is not ready"),
            "picture": serializers.DictField(
                allow_null=True, help_text="kvserve's block map: its GET /kv/blocks"
            ),
            "figures": serializers.DictField(
                child=serializers.FloatField(),
                allow_null=True,
                help_text="of a server that is no kvserve: what its /metrics says",
            ),
        },
    ),
)
@api_view(["GET"])
def report(request: Request, number: int) -> Response:
    """What the LLM server at this place of OPS_LLM_URL (from 0) says about itself now."""
    if number >= len(settings.LLM_URLS):
        raise NotFound("There is no such server in OPS_LLM_URL.")
    try:
        since = float(request.query_params.get("since", 0))
    except ValueError as error:
        raise ValidationError("since: seconds since 1970 are expected") from error
    return Response(monitor.look(settings.LLM_URLS[number], since=max(0.0, since))._asdict())
