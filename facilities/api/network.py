"""The network as the twin sees it, and the fault of a link played through."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.network.fault import link_fault
from facilities.network.picture import as_json, has_network, network_picture
from facilities.tracking.live import Live, current
from facilities.twin.site import SiteError


class NetworkNodeSerializer(serializers.Serializer[Any]):
    """A device or a server."""

    tag = serializers.CharField()
    kind = serializers.CharField()
    tier = serializers.IntegerField(help_text="0 storage, 1 core, 2 spine, 3 leaf, 4 hosts")
    group = serializers.CharField(help_text="The switch it hangs on")
    rack = serializers.CharField(allow_blank=True)
    gpus = serializers.IntegerField()
    util = serializers.FloatField(allow_null=True, help_text="Busy share of its GPUs, 0..1")
    job = serializers.CharField(allow_blank=True)
    in_service = serializers.BooleanField()


class NetworkLinkSerializer(serializers.Serializer[Any]):
    """One connection; Gb/s in one direction."""

    label = serializers.CharField()  # type: ignore[assignment]  # hides Field.label
    link = serializers.CharField(allow_null=True, help_text="Tag of its asset; null for a cable")
    a = serializers.CharField()
    b = serializers.CharField()
    rated_gbps = serializers.FloatField()
    capacity_gbps = serializers.FloatField()
    load_gbps = serializers.FloatField(help_text="Mean of the fuller direction")
    util = serializers.FloatField(help_text="Load over what is left of the capacity, 0..1")
    measured_util = serializers.FloatField(allow_null=True)
    errors = serializers.FloatField(  # type: ignore[assignment]  # hides Serializer.errors
        allow_null=True, help_text="Symbol errors a second"
    )
    enabled = serializers.BooleanField()
    state = serializers.CharField(help_text="ok, full, errors, degraded or down")
    medium = serializers.CharField()
    layer = serializers.CharField()
    private = serializers.BooleanField()
    management = serializers.BooleanField()
    shape = serializers.CharField(help_text="ring, star, leaf–spine or mesh")
    paths = serializers.IntegerField(help_text="Ways around it; 0: none")


class NetworkCauseSerializer(serializers.Serializer[Any]):
    """One cause and its share of what the job lost."""

    kind = serializers.CharField(help_text="link, gpu, server or traffic")
    asset = serializers.CharField()
    what = serializers.CharField()
    share = serializers.FloatField()


class NetworkJobSerializer(serializers.Serializer[Any]):
    """One job and what it waits for."""

    tag = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    servers = serializers.ListField(child=serializers.CharField())
    gpus = serializers.IntegerField()
    step_s = serializers.FloatField()
    ideal_step_s = serializers.FloatField()
    measured_step_s = serializers.FloatField(allow_null=True)
    throughput = serializers.FloatField(help_text="Of the ideal pace, 0..1")
    slowdown = serializers.FloatField(allow_null=True, help_text="Null while it stands still")
    exposed = serializers.FloatField(help_text="Share of a step that waits for communication")
    running = serializers.BooleanField()
    bottleneck = serializers.CharField(allow_blank=True)
    between_gbps = serializers.FloatField(help_text="What each server gets towards the others")
    nvlink_gbps = serializers.FloatField(help_text="The same inside a server, for comparison")
    causes = NetworkCauseSerializer(many=True)
    together = serializers.FloatField(help_text="Share that no single cause explains")


class SinglePointSerializer(serializers.Serializer[Any]):
    """What alone cuts others off."""

    kind = serializers.CharField(help_text="device, link or cable")
    asset = serializers.CharField()
    cut = serializers.ListField(child=serializers.CharField())


class ResilienceSerializer(serializers.Serializer[Any]):
    """How one job, or the management network, survives failures."""

    name = serializers.CharField()
    terminals = serializers.IntegerField()
    points = SinglePointSerializer(many=True)
    disjoint_paths = serializers.IntegerField()
    cut = serializers.ListField(child=serializers.CharField())
    cut_gbps = serializers.FloatField()


class LossOfLinkSerializer(serializers.Serializer[Any]):
    """One link fails: what jobs lose."""

    link = serializers.CharField()
    jobs = serializers.DictField(child=serializers.FloatField())
    worst = serializers.FloatField()


class NetworkSerializer(serializers.Serializer[Any]):
    """The network now."""

    at = serializers.DateTimeField()
    followed = serializers.BooleanField(help_text="A tracker follows the plant")
    shape = serializers.CharField()
    nodes = NetworkNodeSerializer(many=True)
    links = NetworkLinkSerializer(many=True)
    jobs = NetworkJobSerializer(many=True)
    resilience = ResilienceSerializer(many=True)
    management = ResilienceSerializer()
    losses = LossOfLinkSerializer(many=True)
    unplaced = serializers.ListField(child=serializers.CharField())


class LinkFaultRequestSerializer(serializers.Serializer[Any]):
    """Which link, and what it has left."""

    link = serializers.CharField(max_length=150)
    capacity = serializers.FloatField(
        min_value=0, max_value=100, help_text="Percent of its rating; 0 is down"
    )


class SpreadJobSerializer(serializers.Serializer[Any]):
    """One job before and with the fault."""

    job = serializers.CharField()
    gpus = serializers.IntegerField()
    throughput_before = serializers.FloatField()
    throughput = serializers.FloatField()
    step_s_before = serializers.FloatField()
    step_s = serializers.FloatField()
    exposed_before = serializers.FloatField()
    exposed = serializers.FloatField()
    bottleneck_before = serializers.CharField(allow_blank=True)
    bottleneck = serializers.CharField(allow_blank=True)
    between_gbps_before = serializers.FloatField()
    between_gbps = serializers.FloatField()
    running = serializers.BooleanField()
    waiting_gpus = serializers.FloatField(help_text="GPUs' worth of busy time lost")
    slowdown = serializers.FloatField(allow_null=True)
    affected = serializers.BooleanField()


class SpreadLinkSerializer(serializers.Serializer[Any]):
    """One link before and with the fault."""

    link = serializers.CharField()
    capacity_gbps = serializers.FloatField()
    load_before = serializers.FloatField()
    load = serializers.FloatField()
    util_before = serializers.FloatField()
    util = serializers.FloatField()


class StageSerializer(serializers.Serializer[Any]):
    """One link of the chain from the fault to the air."""

    stage = serializers.CharField()
    asset = serializers.CharField()
    quantity = serializers.CharField()
    unit = serializers.CharField()
    before = serializers.FloatField(help_text="At the end, without the fault")
    after = serializers.FloatField(help_text="At the end, with the fault")
    settles_s = serializers.FloatField(help_text="When 90 % of the change is there")
    values = serializers.ListField(child=serializers.FloatField())


class RemedySerializer(serializers.Serializer[Any]):
    """One way out, simulated with the fault present."""

    key = serializers.CharField()
    title = serializers.CharField()
    how = serializers.CharField()
    pace = serializers.FloatField(help_text="All jobs' pace by GPUs, 0..1 of healthy")
    pace_now = serializers.FloatField()
    pace_healthy = serializers.FloatField()
    interruption_s = serializers.FloatField()
    jobs = serializers.DictField(child=serializers.FloatField())
    regained = serializers.FloatField(help_text="Share of the lost pace that comes back")
    work = serializers.FloatField(help_text="Pace over an hour, interruption counted; the order")
    helps = serializers.BooleanField()


class LinkFaultSerializer(serializers.Serializer[Any]):
    """How the fault spreads."""

    at = serializers.DateTimeField()
    link = serializers.CharField()
    capacity_pct = serializers.FloatField()
    jobs = SpreadJobSerializer(many=True)
    links = SpreadLinkSerializer(many=True)
    racks = serializers.ListField(child=serializers.CharField())
    servers = serializers.ListField(child=serializers.CharField())
    times_s = serializers.ListField(child=serializers.FloatField())
    chain = StageSerializer(many=True)
    remedies = RemedySerializer(many=True)
    note = serializers.CharField(allow_blank=True)


class Unsimulated(APIException):
    """The data list has no network, or cannot be simulated."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_simulated"


def _live() -> Live:
    if not has_network():
        raise Unsimulated("the data list has no links of kind network")
    try:
        return current()
    except SiteError as error:
        raise Unsimulated(str(error)) from None


class NetworkView(APIView):
    """The network now."""

    @extend_schema(
        operation_id="network_retrieve",
        summary="The network as the twin sees it",
        description="Devices, connections with load, jobs with the blame for their slowdown, "
        "single points of failure, and what the loss of each link would cost.",
        responses=NetworkSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return it."""
        return Response(NetworkSerializer(as_json(network_picture(live=_live()))).data)


class NetworkSpread(APIView):
    """How the fault of a link would spread."""

    @extend_schema(
        operation_id="network_spread",
        summary="Play the fault of a link through",
        description="Simulates 20 minutes from the live state beside doing nothing. Nothing is "
        "sent to the plant; every signed-in user may ask.",
        request=LinkFaultRequestSerializer,
        responses=LinkFaultSerializer,
    )
    def post(self, request: Request) -> Response:
        """Return jobs, chain and remedies."""
        asked = LinkFaultRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        link = asked.validated_data["link"]
        live = _live()
        if "\0" in link or live.twin.site.place.get(link, ("", 0))[0] != "link":
            raise NotFound(f"there is no link {link[:150]}".replace("\0", ""))
        answer = link_fault(link=link, capacity_pct=asked.validated_data["capacity"], live=live)
        return Response(LinkFaultSerializer(asdict(answer)).data)
