"""Notification channels and the delivery log. Supervisors only: addresses are private."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.alarms.notify import deliver, webhook
from facilities.models import Delivery, NotificationChannel
from facilities.models.notify import ChannelKind, DeliveryState

from .alarm_access import Cleaned, SupervisorsOnly
from .common import Pages, choice, text, whole


class ChannelSerializer(Cleaned):
    """A notification channel. ``secret`` appears once: in the answer that creates a webhook."""

    kind = serializers.ChoiceField(choices=ChannelKind.choices)

    class Meta:
        model = NotificationChannel
        fields: tuple[str, ...] = ("id", "name", "kind", "url", "recipients", "enabled")


class NewChannelSerializer(ChannelSerializer):
    """A channel just made, with its signing secret."""

    secret = serializers.SerializerMethodField()

    class Meta(ChannelSerializer.Meta):
        fields = (*ChannelSerializer.Meta.fields, "secret")

    def get_secret(self, channel: NotificationChannel) -> str:
        """Return ``whsec_…``, or an empty string for e-mail."""
        return webhook.secret_of(channel) if channel.kind == ChannelKind.WEBHOOK else ""


class ChannelList(generics.ListCreateAPIView[NotificationChannel]):
    """Channels, by name."""

    serializer_class = ChannelSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, SupervisorsOnly]
    queryset = NotificationChannel.objects.order_by("name")

    @extend_schema(operation_id="notification_channels_list", summary="Notification channels")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List them."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="notification_channels_create",
        summary="Make a channel",
        responses={201: NewChannelSerializer},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make it; the answer shows the signing secret, once."""
        body = ChannelSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(NewChannelSerializer(body.save()).data, status=201)


@extend_schema_view(
    get=extend_schema(operation_id="notification_channels_retrieve", summary="A channel"),
    patch=extend_schema(operation_id="notification_channels_update", summary="Change a channel"),
    delete=extend_schema(operation_id="notification_channels_delete", summary="Delete a channel"),
)
class ChannelDetail(generics.RetrieveUpdateDestroyAPIView[NotificationChannel]):
    """One channel."""

    http_method_names = ["get", "patch", "delete", "options"]
    serializer_class = ChannelSerializer
    permission_classes = [IsAuthenticated, SupervisorsOnly]
    queryset = NotificationChannel.objects.all()

    def perform_destroy(self, instance: NotificationChannel) -> None:
        """Refuse while a chain uses it."""
        step = instance.steps.select_related("chain").first()
        if step is not None:
            raise serializers.ValidationError(
                f"channel {instance.name} is used by chain {step.chain.name}; change that first"
            )
        instance.delete()


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message and what became of it."""

    channel = serializers.CharField(
        source="channel.name", read_only=True, allow_null=True, default=None
    )
    kind = serializers.ChoiceField(choices=ChannelKind.choices)
    state = serializers.ChoiceField(choices=DeliveryState.choices)
    subject = serializers.CharField(source="body.subject", read_only=True, default="")

    class Meta:
        model = Delivery
        fields = (
            "id",
            "key",
            "channel",
            "alarm",
            "kind",
            "target",
            "event",
            "subject",
            "state",
            "attempts",
            "next_attempt_at",
            "outcome",
            "duration_ms",
            "created_at",
            "sent_at",
        )
        read_only_fields = fields


class ChannelTest(APIView):
    """Send a test message."""

    permission_classes = [IsAuthenticated, SupervisorsOnly]

    @extend_schema(
        operation_id="notification_channels_test",
        summary="Send a test message",
        description="Sent at once, to every address of the channel; the answer is what came of it.",
        request=None,
        responses=DeliverySerializer(many=True),
    )
    def post(self, request: Request, pk: int) -> Response:
        """Send and return the log's rows."""
        channel = NotificationChannel.objects.filter(pk=pk).first()
        if channel is None:
            raise NotFound(f"there is no channel {pk}")
        rows = deliver.channel_test(channel=channel, by=request.user.get_username())
        for row in rows[:5]:  # the rest go with the next run of the deliverer
            deliver.deliver(delivery_id=row.pk)
        done = Delivery.objects.filter(pk__in=[row.pk for row in rows]).select_related("channel")
        return Response(DeliverySerializer(done, many=True).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="deliveries_list",
        summary="Delivery log",
        parameters=[
            OpenApiParameter("state", str, enum=DeliveryState.values),
            OpenApiParameter("channel", str, description="Name of a channel"),
            OpenApiParameter("alarm", int),
        ],
    )
)
class DeliveryList(generics.ListAPIView[Delivery]):
    """Every message, newest first."""

    serializer_class = DeliverySerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, SupervisorsOnly]

    def get_queryset(self) -> QuerySet[Delivery]:
        """Apply the filters."""
        found = Delivery.objects.select_related("channel")
        if state := choice(self.request, "state", DeliveryState.values):
            found = found.filter(state=state)
        if name := text(self.request, "channel"):
            found = found.filter(channel__name=name)
        if self.request.query_params.get("alarm"):
            found = found.filter(alarm=whole(self.request, "alarm", 0, 1, 999_999_999))
        return found


class DeliveryResend(APIView):
    """Send a message again."""

    permission_classes = [IsAuthenticated, SupervisorsOnly]

    @extend_schema(
        operation_id="deliveries_resend",
        summary="Send again",
        description="Queues the same message with a key of its own.",
        request=None,
        responses={201: DeliverySerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        try:
            made = deliver.delivery_resend(delivery_id=pk)
        except Delivery.DoesNotExist:
            raise NotFound(f"there is no delivery {pk}") from None
        return Response(DeliverySerializer(made).data, status=201)
