"""Open alarms and pending proposals: the numbers beside the navigation."""

from django.db.models import Count, Q
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response


@extend_schema(
    responses=inline_serializer(
        "Counts",
        {
            "alarms": serializers.IntegerField(),
            "alarms_critical": serializers.IntegerField(),
            "proposals": serializers.IntegerField(),
        },
    )
)
@api_view(["GET"])
def counts(request: Request) -> Response:
    """How many alarms are open (and how many of them critical), how many proposals wait.

    Alarms that are hidden as consequences of another are not counted.
    """
    from approvals.models import Proposal
    from facilities.selectors import open_alarms

    alarms = (
        open_alarms()
        .filter(suppressed=False)
        .aggregate(all=Count("pk"), critical=Count("pk", filter=Q(severity="critical")))
    )
    return Response(
        {
            "alarms": alarms["all"],
            "alarms_critical": alarms["critical"],
            "proposals": Proposal.objects.filter(state="pending").count(),
        }
    )
