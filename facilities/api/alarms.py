"""Alarms: list, one with its history, and what people do with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.alarms import services
from facilities.alarms.payload import STATE_CHOICES, AlarmEventSerializer, AlarmSerializer
from facilities.models import Alarm, AlarmEvent
from facilities.models.alarm import Severity
from facilities.selectors import alarms

from .common import Pages, choice, flag, refuse, text


class MayAcknowledge(BasePermission):
    """Operators and above."""

    message = "Your role does not acknowledge alarms; ask an operator."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.acknowledge_alarm``."""
        return request.user.has_perm("facilities.acknowledge_alarm")


FILTERS = [
    OpenApiParameter("open", bool, description="true: active; false: cleared"),
    OpenApiParameter("severity", str, description="One or several, comma separated"),
    OpenApiParameter("state", str, enum=[value for value, _ in STATE_CHOICES]),
    OpenApiParameter("asset", str, description="Tag of an asset"),
    OpenApiParameter("hall", str, description="Slug of a hall"),
    OpenApiParameter("point", str, description="Tag of a point"),
    OpenApiParameter("rule", str, description="Name of a rule"),
    OpenApiParameter("search", str, description="Words in tag, message or rule; all must occur"),
    OpenApiParameter("assignee", str, description="User name; `me`, or `none` for nobody"),
    OpenApiParameter("suppressed", bool, description="Hidden as a consequence of another"),
    OpenApiParameter("shelved", bool, description="On the shelf now"),
    OpenApiParameter("group", int, description="Id of the alarm that heads the group"),
]


def filtered(request: Request) -> QuerySet[Alarm]:
    """Alarms that the query string asks for. Raises ``ValidationError`` naming the parameter."""
    found = alarms()
    if (is_open := flag(request, "open")) is not None:
        found = found.filter(cleared_at__isnull=is_open)
    if severities := [part for part in text(request, "severity").split(",") if part]:
        if wrong := sorted(set(severities) - set(Severity.values)):
            raise refuse(
                "severity", f"{wrong[0][:60]!r} is not one of {', '.join(Severity.values)}"
            )
        found = found.filter(severity__in=severities)
    if state := choice(request, "state", [value for value, _ in STATE_CHOICES]):
        activity, seen = state.split("_")
        found = found.filter(
            cleared_at__isnull=activity == "active", acknowledged_at__isnull=seen[:2] == "un"
        )
    for name, field in (
        ("asset", "point__asset__tag"),
        ("hall", "point__asset__hall__slug"),
        ("point", "point__tag"),
        ("rule", "rule__name"),
    ):
        if value := text(request, name):
            found = found.filter(**{field: value})
    for word in text(request, "search").split()[:8]:
        found = found.filter(
            Q(point__tag__icontains=word)
            | Q(message__icontains=word)
            | Q(rule__name__icontains=word)
            | Q(point__asset__name__icontains=word)
        )
    if assignee := text(request, "assignee"):
        if assignee == "none":
            found = found.filter(assignee__isnull=True)
        elif assignee == "me":
            found = found.filter(assignee=request.user.pk)
        else:
            found = found.filter(assignee__username=assignee)
    if (suppressed := flag(request, "suppressed")) is not None:
        found = found.filter(suppressed=suppressed)
    if (shelved := flag(request, "shelved")) is not None:
        on_shelf = Q(shelved_until__gt=timezone.now())
        found = found.filter(on_shelf) if shelved else found.exclude(on_shelf)
    if group := text(request, "group"):
        if not group.isascii() or not group.isdigit() or len(group) > 18:
            raise refuse("group", f"{group[:60]!r} is not the id of an alarm")
        found = found.filter(Q(root=int(group)) | Q(pk=int(group)))
    return found.order_by(*CONSOLE_ORDER)


CONSOLE_ORDER = (F("cleared_at").desc(nulls_first=True), "severity_rank", "-raised_at", "-id")
"""Active first, worst first; then the most recently cleared."""


@extend_schema_view(
    get=extend_schema(operation_id="alarms_list", summary="Alarms", parameters=FILTERS)
)
class AlarmList(generics.ListAPIView[Alarm]):
    """Alarms: active ones first, worst first, then newest."""

    serializer_class = AlarmSerializer
    pagination_class = Pages
    queryset = Alarm.objects.none()

    def get_queryset(self) -> QuerySet[Alarm]:
        """Apply the filters of the query string."""
        return filtered(self.request)


class AlarmDetailSerializer(AlarmSerializer):
    """One alarm with its history and the alarms hidden under it."""

    history = serializers.SerializerMethodField()
    consequences = serializers.SerializerMethodField()
    basis = serializers.CharField(source="rule.basis", read_only=True)

    class Meta(AlarmSerializer.Meta):
        fields = (*AlarmSerializer.Meta.fields, "basis", "history", "consequences")
        read_only_fields = fields

    @extend_schema_field(AlarmEventSerializer(many=True))
    def get_history(self, alarm: Alarm) -> list[dict[str, Any]]:
        """Return every event, oldest first, the newest 200."""
        found = AlarmEvent.objects.filter(alarm=alarm).select_related("actor")
        rows = list(found.order_by("-at", "-id")[:200])[::-1]
        return [dict(row) for row in AlarmEventSerializer(rows, many=True).data]

    def get_consequences(self, alarm: Alarm) -> list[int]:
        """Return the ids of the other alarms of the group it heads, at most 1,000."""
        return list(alarm.consequences.order_by("pk").values_list("pk", flat=True)[:1000])


class AlarmDetail(generics.RetrieveAPIView[Alarm]):
    """One alarm."""

    serializer_class = AlarmDetailSerializer

    def get_queryset(self) -> QuerySet[Alarm]:
        """Every alarm."""
        return alarms()

    @extend_schema(operation_id="alarms_retrieve", summary="An alarm with its history")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the alarm."""
        return super().get(request, *args, **kwargs)


class NoteSerializer(serializers.Serializer[Any]):
    """What the operator says."""

    note = serializers.CharField(max_length=500, allow_blank=True, default="")


class NoteTextSerializer(serializers.Serializer[Any]):
    """A note that says something."""

    note = serializers.CharField(max_length=500)


class AssignSerializer(serializers.Serializer[Any]):
    """Who takes care of it; null for nobody."""

    assignee = serializers.CharField(max_length=150, allow_null=True)


class ShelveSerializer(serializers.Serializer[Any]):
    """For how long, and why."""

    minutes = serializers.FloatField(min_value=1)
    reason = serializers.CharField(max_length=250)


class AcknowledgeManySerializer(NoteSerializer):
    """Several alarms at once, a group for example."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=500
    )


class _Action(APIView, ABC):
    """Something done to one alarm by somebody who may."""

    permission_classes = [IsAuthenticated, MayAcknowledge]
    body: type[serializers.Serializer[Any]] = NoteSerializer

    @abstractmethod
    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Call the service; return the alarm as it now is."""

    def act(self, request: Request, pk: int) -> Response:
        """Check the body, do it, answer with the alarm."""
        body = self.body(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            alarm = self.perform(pk, cast(AbstractBaseUser, request.user), body.validated_data)
        except Alarm.DoesNotExist:
            raise NotFound(f"there is no alarm {pk}") from None
        except DjangoValidationError as error:
            detail = error.message_dict if hasattr(error, "error_dict") else error.messages
            raise ValidationError(detail) from None
        return Response(AlarmSerializer(alarm).data)


class AlarmAcknowledge(_Action):
    """Acknowledge an alarm."""

    @extend_schema(
        operation_id="alarms_acknowledge",
        summary="Acknowledge",
        description="Repeating it changes nothing: the first acknowledgement stands.",
        request=NoteSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Acknowledge and return the alarm."""
        return self.act(request, pk)

    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Acknowledge."""
        return services.alarm_acknowledge(alarm_id=pk, user=user, note=data["note"]).alarm


class AlarmNote(_Action):
    """Write a note into an alarm's history."""

    body = NoteTextSerializer

    @extend_schema(
        operation_id="alarms_note",
        summary="Add a note",
        request=NoteTextSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Add the note and return the alarm."""
        return self.act(request, pk)

    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Write."""
        return services.alarm_note(alarm_id=pk, user=user, text=data["note"])


class AlarmAssign(_Action):
    """Give an alarm to somebody."""

    body = AssignSerializer

    @extend_schema(
        operation_id="alarms_assign",
        summary="Assign",
        request=AssignSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Assign and return the alarm."""
        return self.act(request, pk)

    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Assign."""
        return services.alarm_assign(alarm_id=pk, user=user, assignee=data["assignee"])


class AlarmShelve(_Action):
    """Put an alarm's point and rule on the shelf."""

    body = ShelveSerializer

    @extend_schema(
        operation_id="alarms_shelve",
        summary="Shelve",
        description="Recorded, but told to nobody until then. Alarms that protect people are not.",
        request=ShelveSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Shelve and return the alarm."""
        return self.act(request, pk)

    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Shelve."""
        return services.alarm_shelve(
            alarm_id=pk, user=user, seconds=data["minutes"] * 60, reason=data["reason"]
        )


class AlarmUnshelve(_Action):
    """Take an alarm from the shelf."""

    @extend_schema(
        operation_id="alarms_unshelve",
        summary="Take from the shelf",
        request=NoteSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Unshelve and return the alarm."""
        return self.act(request, pk)

    def perform(self, pk: int, user: AbstractBaseUser, data: dict[str, Any]) -> Alarm:
        """Unshelve."""
        return services.alarm_unshelve(alarm_id=pk, user=user, note=data["note"])


class AlarmsAcknowledge(APIView):
    """Acknowledge several alarms."""

    permission_classes = [IsAuthenticated, MayAcknowledge]

    @extend_schema(
        operation_id="alarms_acknowledge_many",
        summary="Acknowledge several",
        description="Ids that do not exist are left out; repeating it changes nothing.",
        request=AcknowledgeManySerializer,
        responses=AlarmSerializer(many=True),
    )
    def post(self, request: Request) -> Response:
        """Acknowledge and return the alarms."""
        body = AcknowledgeManySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        done = services.alarms_acknowledge(
            alarm_ids=body.validated_data["ids"],
            user=cast(AbstractBaseUser, request.user),
            note=body.validated_data["note"],
        )
        return Response(AlarmSerializer([each.alarm for each in done], many=True).data)
