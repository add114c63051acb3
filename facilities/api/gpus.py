"""GPUs: what limits each now, its control loop, what the limits cost."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.gpus.control import DURATION_S, Control, gpu_control
from facilities.gpus.loss import gpu_loss
from facilities.gpus.racks import rack_twin
from facilities.gpus.read import GpuRow, gpu_row, gpu_rows, matching
from facilities.models import Asset, Rack
from facilities.twin.gpu.loop import SERIES
from facilities.twin.gpu.nvml import REASONS
from facilities.twin.site import SiteError

from .common import Pages, flag, refuse, text, whole

LONGEST_LOSS_S: Final = 86_400
TRACES: Final = ("now", "yours")


class DeviceSerializer(serializers.Serializer[Any]):
    """Limits of the device; ``read_from_device`` tells whether somebody read them from a card."""

    name = serializers.CharField()
    max_op_c = serializers.FloatField()
    slowdown_c = serializers.FloatField()
    shutdown_c = serializers.FloatField()
    memory_max_op_c = serializers.FloatField()
    max_w = serializers.FloatField()
    min_limit_w = serializers.FloatField()
    idle_w = serializers.FloatField()
    max_clock_mhz = serializers.FloatField()
    idle_clock_mhz = serializers.FloatField()
    source = serializers.CharField()  # type: ignore[assignment]  # hides Field.source
    read_from_device = serializers.BooleanField()


class GpuSerializer(serializers.Serializer[Any]):
    """One GPU now; null where nothing was read."""

    tag = serializers.CharField()
    name = serializers.CharField()
    server = serializers.CharField()
    rack = serializers.CharField()
    model = serializers.CharField(source="device.name")
    temp_c = serializers.FloatField(allow_null=True)
    power_w = serializers.FloatField(allow_null=True)
    util_pct = serializers.FloatField(allow_null=True)
    sm_clock_mhz = serializers.FloatField(allow_null=True)
    power_limit_w = serializers.FloatField(source="limit_w")
    xid = serializers.IntegerField(allow_null=True)
    throttle_reasons = serializers.IntegerField(
        allow_null=True, help_text="NVML's clock-event bits (DCGM field 112)"
    )
    reasons = serializers.SerializerMethodField(help_text="Decoded, the one in charge first")
    in_charge = serializers.CharField(
        source="label", help_text="The limit that sets the clock; none; lost after XID 79"
    )
    limited = serializers.BooleanField(source="is_limited")
    speed = serializers.FloatField(
        allow_null=True, help_text="Clock over top clock; null when idle"
    )
    margin_k = serializers.FloatField(
        allow_null=True, help_text="Kelvin below maximum operating temperature"
    )
    ts = serializers.DateTimeField(source="at", allow_null=True)
    fresh = serializers.BooleanField(source="is_fresh")

    def get_reasons(self, row: GpuRow) -> list[str]:
        """Labels as dcgm-exporter has them."""
        return [REASONS[reason].label for reason in row.reasons]


class GpuPageSerializer(serializers.Serializer[Any]):
    """A page of GPUs."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = GpuSerializer(many=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    """One case of the simulated loop, averaged over its second half."""

    key = serializers.CharField()
    name = serializers.CharField()
    note = serializers.CharField(allow_blank=True)
    throughput_pct = serializers.FloatField(
        allow_null=True, help_text="Of the unthrottled clock; null without work"
    )
    gain_pct = serializers.FloatField(allow_null=True, help_text="Percent points against `now`")
    temp_c = serializers.FloatField()
    power_w = serializers.FloatField()
    saved_w = serializers.FloatField()
    work_per_joule_pct = serializers.FloatField(
        allow_null=True, help_text="Change against `now`, percent"
    )
    limits = serializers.DictField(
        child=serializers.FloatField(), help_text="Share of the time by reason"
    )


class ControlSerializer(serializers.Serializer[Any]):
    """The control loop of a GPU, simulated from its live readings."""

    gpu = GpuSerializer()
    device = DeviceSerializer()
    around = serializers.DictField(help_text="What takes the heat: `medium_c` and where from")
    fit = serializers.DictField(help_text="The model put onto the readings")
    throttles_from_c = serializers.FloatField(
        help_text="Air or water temperature at which the software thermal limit begins"
    )
    outcomes = OutcomeSerializer(many=True)
    times_s = serializers.ListField(child=serializers.FloatField())
    trace = serializers.DictField(
        help_text="By case (`now`, `yours`) the series of the loop: " + ", ".join(SERIES)
    )


class CauseSerializer(serializers.Serializer[Any]):
    """GPU-seconds lost to one cause."""

    cause = serializers.CharField()
    lost_s = serializers.FloatField()
    held_s = serializers.FloatField(help_text="Seconds that it was in charge")


class LossSerializer(serializers.Serializer[Any]):
    """Throughput lost over a time."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    busy_s = serializers.FloatField()
    lost_s = serializers.FloatField(help_text="Equivalent GPU-seconds")
    share = serializers.FloatField(help_text="Of the throughput, 0..1")
    coverage = serializers.FloatField(help_text="Share of the time that readings tell about")
    missing = serializers.ListField(child=serializers.CharField())
    causes = CauseSerializer(many=True)


def _gpu(tag: str) -> GpuRow:
    """The GPU of a tag. PostgreSQL takes no NUL; such a tag names nothing."""
    try:
        if "\0" in tag:
            raise Asset.DoesNotExist
        return gpu_row(tag=tag)
    except Asset.DoesNotExist:
        raise NotFound(f"there is no GPU {tag[:80]!r}") from None


class GpuList(APIView):
    """GPUs, limited ones first."""

    @extend_schema(
        operation_id="gpus_list",
        summary="GPUs and what limits them",
        parameters=[
            OpenApiParameter("search", str, description="Words in tag, server, rack or limit"),
            OpenApiParameter("limited", bool, description="Only those that a limit holds"),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
        responses=GpuPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return a page of GPUs."""
        rows = matching(
            gpu_rows(), search=text(request, "search"), limited=bool(flag(request, "limited"))
        )
        pages = Pages()
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(GpuSerializer(page, many=True).data)


class GpuControl(APIView):
    """The control loop of one GPU."""

    @extend_schema(
        operation_id="gpus_control",
        summary="Control loop of a GPU and what would help",
        description=(
            "Runs sensors, controllers, priority gate, DVFS, regulator and heat from the live "
            "readings: as it is, with each remedy, and with what `inlet_c`, `power_limit_w`, "
            "`fan_pct` and `util_pct` set (case `yours`)."
        ),
        parameters=[
            OpenApiParameter("duration_s", int, description="30 to 600; default 120"),
            OpenApiParameter("inlet_c", float, description="-10 to 70"),
            OpenApiParameter("power_limit_w", float, description="Within what the device allows"),
            OpenApiParameter("fan_pct", float, description="5 to 100"),
            OpenApiParameter("util_pct", float, description="0 to 100"),
        ],
        responses=ControlSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Simulate."""
        gpu = _gpu(tag)
        device = gpu.device
        control = gpu_control(
            gpu=gpu,
            duration_s=whole(request, "duration_s", int(DURATION_S), 30, 600),
            inlet_c=_number(request, "inlet_c", -10, 70),
            power_limit_w=_number(request, "power_limit_w", device.min_limit_w, device.max_w),
            fan_pct=_number(request, "fan_pct", 5, 100),
            util_pct=_number(request, "util_pct", 0, 100),
        )
        return Response(_payload(control))


class GpuLoss(APIView):
    """What the limits of a GPU cost."""

    @extend_schema(
        operation_id="gpus_loss",
        summary="Throughput that a GPU lost, by cause",
        parameters=[OpenApiParameter("seconds", int, description="60 to 86400; default 3600")],
        responses=LossSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Sum up the readings of the time."""
        gpu = _gpu(tag)
        seconds = whole(request, "seconds", 3600, 60, LONGEST_LOSS_S)
        loss = gpu_loss(gpu=gpu, end=datetime.now(UTC), seconds=seconds)
        body = {
            "start": loss.start,
            "end": loss.end,
            "busy_s": loss.lost.busy_s,
            "lost_s": loss.lost.lost_s,
            "share": loss.lost.share,
            "coverage": loss.coverage,
            "missing": list(loss.missing),
            "causes": [
                {"cause": cause, "lost_s": lost_s, "held_s": held_s}
                for cause, lost_s, held_s in loss.causes
            ],
        }
        return Response(LossSerializer(body).data)


def _number(request: Request, name: str, low: float, high: float) -> float | None:
    """A query parameter as a number within limits; None when absent."""
    value = request.query_params.get(name, "")
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise refuse(name, f"{value[:60]!r} is not a number from {low:g} to {high:g}")
    return number


def _payload(control: Control) -> dict[str, Any]:
    keys = [outcome.key for outcome in control.outcomes]
    trace = {
        key: {
            name: [round(float(value), 3) for value in control.trace.of(name, keys.index(key))]
            for name in SERIES
        }
        for key in TRACES
        if key in keys
    }
    around, fitted = asdict(control.around), asdict(control.fit)
    body = {
        "gpu": control.gpu,
        "device": control.gpu.device,
        "around": {},
        "fit": {},
        "throttles_from_c": control.throttles_from_c,
        "outcomes": control.outcomes,
        "times_s": [round(float(at), 2) for at in control.trace.times_s],
        "trace": {},
    }
    data = dict(ControlSerializer(body).data)
    data["around"], data["fit"], data["trace"] = around, fitted, trace
    return data


class RackTwinSerializer(serializers.Serializer[Any]):
    """What the twin knows of a rack beyond its points."""

    at = serializers.DateTimeField()
    followed = serializers.BooleanField(help_text="Whether a tracker follows the plant")
    inlet_c = serializers.FloatField(help_text="As the twin has it")
    airflow_m3s = serializers.FloatField()
    recirculation = serializers.FloatField(help_text="Share of the inlet air that was used before")
    true_inlet_c = serializers.FloatField(allow_null=True, help_text="Behind the sensor's lag")
    shown_inlet_c = serializers.FloatField(allow_null=True)
    slope_k_per_min = serializers.FloatField(allow_null=True)
    sigma_k = serializers.FloatField(allow_null=True)


class RackTwinView(APIView):
    """Airflow, recirculation and the sensor's gap of one rack."""

    @extend_schema(
        operation_id="racks_twin",
        summary="A rack as the twin sees it",
        responses=RackTwinSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Return the twin's view."""
        if "\0" in tag or not Rack.objects.filter(tag=tag).exists():
            raise NotFound(f"there is no rack {tag[:80]!r}")
        try:
            found = rack_twin(tag=tag)
        except SiteError as error:
            raise NotFound(f"the twin cannot tell: {error}") from None
        return Response(RackTwinSerializer(found).data)
