"""Notification rules and the log of messages: one's own, and the team's for supervisors."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api.serializers import GateErrorSerializer
from approvals.api.views import GateView
from approvals.models import Channel, Delivery, NotificationRule
from approvals.notify import rules
from approvals.notify.events import EVENTS
from approvals.states import Risk

REFUSALS = dict.fromkeys((400, 403, 404), GateErrorSerializer)
STATES = ("waiting", "sent", "failed")


class NotificationRuleSerializer(serializers.ModelSerializer[NotificationRule]):
    """A rule; `user` is null where it is the team's."""

    user = serializers.CharField(source="user.username", default=None, read_only=True)

    class Meta:
        model = NotificationRule
        fields = (
            "id",
            "user",
            "channel",
            "address",
            "secret_name",
            "events",
            "least_risk",
            "is_active",
            "made_at",
        )
        read_only_fields = fields


class NotificationRuleRequestSerializer(serializers.Serializer[Any]):
    """A new rule. Webhooks need `address` and `secret_name`, e-mail `address`."""

    channel = serializers.ChoiceField(choices=Channel.values)
    events = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=len(EVENTS),
        help_text=f"Of {', '.join(EVENTS)}.",
    )
    least_risk = serializers.ChoiceField(choices=Risk.choices, default="low")
    address = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    secret_name = serializers.CharField(
        max_length=60,
        required=False,
        allow_blank=True,
        default="",
        help_text="A key of OPS_DRIVER_SECRETS; it signs the webhook.",
    )
    is_team = serializers.BooleanField(default=False, help_text="Supervisors: for everybody.")


class NotificationRuleChangeSerializer(serializers.Serializer[Any]):
    """What to change of a rule."""

    events = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=len(EVENTS), required=False
    )
    least_risk = serializers.ChoiceField(choices=Risk.choices, required=False)
    address = serializers.CharField(max_length=500, required=False, allow_blank=True)
    secret_name = serializers.CharField(max_length=60, required=False, allow_blank=True)
    is_active = serializers.BooleanField(required=False)


class GateDeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message on its way, or what became of it."""

    channel = serializers.CharField(source="rule.channel", read_only=True)
    address = serializers.CharField(source="rule.address", read_only=True)
    next_at = serializers.SerializerMethodField(help_text="Next attempt; null when it is over.")

    class Meta:
        model = Delivery
        fields = (
            "id",
            "rule",
            "channel",
            "address",
            "proposal",
            "event",
            "message",
            "state",
            "attempts",
            "next_at",
            "made_at",
            "sent_at",
            "error",
        )
        read_only_fields = fields

    def get_next_at(self, delivery: Delivery) -> str | None:
        return delivery.next_at.isoformat() if delivery.state == "waiting" else None


class RuleListView(GateView):
    @extend_schema(
        operation_id="notification_rules_list", responses=NotificationRuleSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """List one's own rules, and the team's for supervisors."""
        return Response(NotificationRuleSerializer(rules.rules_of(self.person), many=True).data)

    @extend_schema(
        operation_id="notification_rules_add",
        request=NotificationRuleRequestSerializer,
        responses={201: NotificationRuleSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Add a rule: which events, from which risk on, by which way."""
        rule = rules.rule_add(user=self.person, **self.parsed(NotificationRuleRequestSerializer))
        return Response(NotificationRuleSerializer(rule).data, status=status.HTTP_201_CREATED)


class RuleView(GateView):
    @extend_schema(
        operation_id="notification_rules_change",
        request=NotificationRuleChangeSerializer,
        responses={200: NotificationRuleSerializer, **REFUSALS},
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change a rule, or switch it off and on."""
        rule = rules.rule_change(
            rule_id=pk, user=self.person, **self.parsed(NotificationRuleChangeSerializer)
        )
        return Response(NotificationRuleSerializer(rule).data)

    @extend_schema(operation_id="notification_rules_remove", responses={204: None, **REFUSALS})
    def delete(self, request: Request, pk: int) -> Response:
        """Remove a rule with its log."""
        rules.rule_remove(rule_id=pk, user=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RuleTestView(GateView):
    @extend_schema(
        operation_id="notification_rules_test",
        request=None,
        responses={200: GateDeliverySerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Send a test message now; the answer says what came of it."""
        delivery = rules.rule_test(rule_id=pk, user=self.person)
        return Response(GateDeliverySerializer(delivery).data)


class DeliveryListView(GateView, generics.ListAPIView[Delivery]):
    """The log of messages, newest first."""

    serializer_class = GateDeliverySerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        found = rules.deliveries_of(self.person)
        state = self.request.query_params.get("state", "")
        if state and state not in STATES:
            raise ValidationError(
                {"state": f"{state!r} is not a state; known are {', '.join(STATES)}"}
            )
        return found.filter(state=state) if state else found

    @extend_schema(
        operation_id="notification_deliveries_list",
        parameters=[OpenApiParameter("state", str, enum=STATES)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List messages of one's own rules, and of the team's for supervisors."""
        return super().get(request, *args, **kwargs)


class DeliveryResendView(GateView):
    @extend_schema(
        operation_id="notification_deliveries_resend",
        request=None,
        responses={201: GateDeliverySerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Queue the same message again, as a delivery of its own."""
        delivery = rules.delivery_resend(delivery_id=pk, user=self.person)
        return Response(GateDeliverySerializer(delivery).data, status=status.HTTP_201_CREATED)
