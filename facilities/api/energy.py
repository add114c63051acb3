"""Energy: ISO/IEC 30134 ratios over any period and now, as CSV too, and the power chain."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.energy.chain import power_chain
from facilities.energy.now import energy_now
from facilities.energy.ratios import Ratios
from facilities.energy.report import PeriodError, Report, energy_report
from facilities.twin.site import SiteError

from .common import refuse, whole
from .series import TIMES, window

LONGEST_STEP_S: Final = 32 * 86_400

PERIOD = [
    *TIMES,
    OpenApiParameter(
        "step", int, description="Seconds of one step, whole minutes; 0 or absent: one step for all"
    ),
]


class NotSimulated(APIException):
    """The data list cannot be simulated, so there is no power chain to show."""

    status_code = 409
    default_code = "no_twin"


class EnergyRatioSerializer(serializers.Serializer[Any]):
    """A ratio over the time in which both of its parts were measured."""

    value = serializers.FloatField(allow_null=True)
    coverage = serializers.FloatField(help_text="Share of the period, 0..1")


class EnergyUseSerializer(serializers.Serializer[Any]):
    """Energy of an end use."""

    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    basis = serializers.ChoiceField(choices=["measured", "computed", "remainder"])
    detail = serializers.CharField()
    energy_wh = serializers.FloatField()
    share = serializers.FloatField(allow_null=True)
    coverage = serializers.FloatField()


class EnergyRatiosSerializer(serializers.Serializer[Any]):
    """The ratios of a period."""

    pue = EnergyRatioSerializer()
    category = serializers.IntegerField(
        allow_null=True, help_text="1: IT measured at the UPS output, 2: PDU output, 3: IT input"
    )
    categories = serializers.DictField(child=EnergyRatioSerializer())
    wue_l_kwh = EnergyRatioSerializer()
    cue_kg_kwh = EnergyRatioSerializer()
    ref = EnergyRatioSerializer()
    total_wh = serializers.FloatField()
    it_wh = serializers.FloatField()
    water_l = serializers.FloatField()
    carbon_kg = serializers.FloatField()
    cost = serializers.FloatField()
    currency = serializers.CharField()
    uses = EnergyUseSerializer(many=True)


class EnergyStepSerializer(serializers.Serializer[Any]):
    """One step of a period."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    ratios = EnergyRatiosSerializer()


class EnergyInputSerializer(serializers.Serializer[Any]):
    """The meters behind a role."""

    role = serializers.CharField()
    meters = serializers.ListField(child=serializers.CharField())
    silent = serializers.ListField(child=serializers.CharField())
    coverage = serializers.FloatField()
    bridged = serializers.IntegerField(help_text="Short gaps filled by a line, in intervals")
    negative = serializers.IntegerField(help_text="Intervals below zero that count as 0")
    resets = serializers.IntegerField(help_text="Times that counters were reset")


class EnergyReportSerializer(serializers.Serializer[Any]):
    """Ratios over a period, its steps and inputs."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    step_s = serializers.FloatField()
    level = serializers.CharField(help_text="Rollups that were integrated: 1m or 1h")
    whole = EnergyRatiosSerializer()
    steps = EnergyStepSerializer(many=True)
    inputs = EnergyInputSerializer(many=True)
    issues = serializers.ListField(child=serializers.CharField())


class EnergyNowSerializer(serializers.Serializer[Any]):
    """Ratios of the newest readings; energies are those of one hour at these powers."""

    at = serializers.DateTimeField(allow_null=True)
    ratios = EnergyRatiosSerializer()
    stale = serializers.ListField(child=serializers.CharField())
    issues = serializers.ListField(child=serializers.CharField())


class PowerNodeSerializer(serializers.Serializer[Any]):
    """A source, UPS or PDU."""

    tag = serializers.CharField()
    kind = serializers.CharField()
    level = serializers.IntegerField(help_text="0 sources, 1 UPS, 2 PDUs")
    power_w = serializers.FloatField()
    rated_w = serializers.FloatField(allow_null=True)
    share = serializers.FloatField(allow_null=True)
    state = serializers.CharField()
    detail = serializers.CharField()
    failover_share = serializers.FloatField(
        allow_null=True, help_text="Highest share of its rating after any single loss"
    )


class PowerGroupSerializer(serializers.Serializer[Any]):
    """Loads with the same feeds."""

    label = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    feeds = serializers.ListField(child=serializers.CharField())
    power_w = serializers.FloatField()
    powered = serializers.IntegerField()


class PowerStageSerializer(serializers.Serializer[Any]):
    """Spare units of a stage of the chain."""

    kind = serializers.CharField()
    units = serializers.IntegerField()
    needed = serializers.IntegerField()
    rated_w = serializers.FloatField()
    load_w = serializers.FloatField()
    label = serializers.CharField(help_text="N, N+x, 2N or short")  # type: ignore[assignment]


class PowerSinglePointSerializer(serializers.Serializer[Any]):
    """An asset whose loss takes loads with it, by the power links alone."""

    tag = serializers.CharField()
    kind = serializers.CharField()
    loads = serializers.ListField(child=serializers.CharField())


class PowerLoadingSerializer(serializers.Serializer[Any]):
    """How much an element would carry."""

    tag = serializers.CharField()
    share = serializers.FloatField()
    trips_after_s = serializers.FloatField(allow_null=True)


class PowerContingencySerializer(serializers.Serializer[Any]):
    """The site 90 s after one element is lost, from the twin."""

    lost = serializers.CharField()
    kind = serializers.CharField()
    verdict = serializers.ChoiceField(choices=["holds", "overload", "loses"])
    dropped = serializers.ListField(child=serializers.CharField())
    interrupted = serializers.ListField(child=serializers.CharField())
    worst = PowerLoadingSerializer(allow_null=True)
    loadings = PowerLoadingSerializer(many=True, help_text="The most loaded elements, 20 at most")
    lowest_charge = serializers.FloatField(allow_null=True)


class PowerChainSerializer(serializers.Serializer[Any]):
    """The one-line diagram."""

    at = serializers.DateTimeField()
    followed = serializers.BooleanField(help_text="A tracker keeps the twin in step")
    nodes = PowerNodeSerializer(many=True)
    groups = PowerGroupSerializer(many=True)
    edges = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    stages = PowerStageSerializer(many=True)
    single_points = PowerSinglePointSerializer(many=True)
    contingencies = PowerContingencySerializer(many=True)


def period_report(request: Request) -> Report:
    """The report that a query string asks for; the default is the last 24 hours by the hour."""
    start, end = window(request, hours=24)
    step = whole(request, "step", 0, 0, LONGEST_STEP_S)
    try:
        return energy_report(start=start, end=end, step_s=float(step))
    except PeriodError as error:
        raise refuse("step" if str(error).startswith("step") else "start", str(error)) from None


class EnergyMetrics(APIView):
    """PUE, WUE, CUE, REF and energy by end use over a period."""

    @extend_schema(
        operation_id="energy_metrics",
        summary="PUE, WUE, CUE and energy over a period",
        description=(
            "ISO/IEC 30134-2, -3, -8 and -9 out of the readings of [start, end). A ratio counts the "
            "time in which both of its parts were measured; `coverage` says how much that was."
        ),
        parameters=PERIOD,
        responses=EnergyReportSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the report."""
        return Response(EnergyReportSerializer(asdict(period_report(request))).data)


class EnergyNow(APIView):
    """The same at this moment."""

    @extend_schema(
        operation_id="energy_now",
        summary="PUE, WUE, CUE and power by end use now",
        responses=EnergyNowSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the ratios of the newest readings."""
        return Response(EnergyNowSerializer(asdict(energy_now())).data)


class EnergyExport(APIView):
    """The steps of a period as a CSV file."""

    @extend_schema(
        operation_id="energy_export",
        summary="PUE, WUE, CUE and energy as CSV",
        parameters=PERIOD,
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="CSV")},
    )
    def get(self, request: Request) -> HttpResponse:
        """Return one line a step, then one for the whole period."""
        report = period_report(request)
        keys = [use.key for use in report.whole.uses]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(
            ["start", "end", "pue", "pue_category", "pue_coverage", "wue_l_kwh", "cue_kg_kwh", "ref",
             "total_kwh", "it_kwh", "water_l", "carbon_kg", f"cost_{report.whole.currency}",
             *(f"use_{key}_kwh" for key in keys)]
        )  # fmt: skip
        for step in report.steps:
            writer.writerow(_line(step.start, step.end, step.ratios))
        writer.writerow(_line(report.start, report.end, report.whole))
        answer = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
        name = f"energy_{report.start:%Y%m%dT%H%M%SZ}_{report.end:%Y%m%dT%H%M%SZ}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


def _line(start: datetime, end: datetime, of: Ratios) -> list[Any]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6g}"

    return [
        start.astimezone(UTC).isoformat(),
        end.astimezone(UTC).isoformat(),
        number(of.pue.value),
        of.category or "",
        number(of.pue.coverage),
        number(of.wue_l_kwh.value),
        number(of.cue_kg_kwh.value),
        number(of.ref.value),
        number(of.total_wh / 1000.0),
        number(of.it_wh / 1000.0),
        number(of.water_l),
        number(of.carbon_kg),
        number(of.cost),
        *(number(use.energy_wh / 1000.0) for use in of.uses),
    ]


class EnergyChain(APIView):
    """The power chain as the twin sees it."""

    @extend_schema(
        operation_id="energy_chain",
        summary="Power chain: loads, margins, single points of failure, what a loss would do",
        responses=PowerChainSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the one-line diagram's contents."""
        try:
            chain = power_chain()
        except SiteError as error:
            raise NotSimulated(str(error)) from None
        return Response(PowerChainSerializer(asdict(chain)).data)
