"""Looks, rollbacks and the team's figures."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import selectors
from approvals.api.serializers import GateErrorSerializer, ProposalSerializer
from approvals.api.views import REFUSALS, GateView
from approvals.honesty.figures import DAYS, drills_revealed, team_figures
from approvals.honesty.looks import WHATS, look_note
from approvals.services.rollback import proposal_rollback


class LookSerializer(serializers.Serializer[Any]):
    what = serializers.ChoiceField(choices=WHATS, help_text="What was seen or opened.")


class ShareSerializer(serializers.Serializer[Any]):
    """`share`, `low` and `high` (95 %) are null below five."""

    count = serializers.IntegerField()
    of = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class TimesSerializer(serializers.Serializer[Any]):
    """Seconds; null below five."""

    count = serializers.IntegerField()
    median_s = serializers.FloatField(allow_null=True)
    low_s = serializers.FloatField(allow_null=True, help_text="First quartile.")
    high_s = serializers.FloatField(allow_null=True, help_text="Third quartile.")


class FiguresSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="Empty: the team.")
    decided = serializers.IntegerField()
    decision_s = TimesSerializer()
    approved = ShareSerializer()
    unopened = ShareSerializer(help_text="Approvals without opening any of the evidence.")
    quick = ShareSerializer(help_text="Approvals within ten seconds.")
    went_wrong = ShareSerializer(help_text="Approved, executed, without effect or rolled back.")
    drills = ShareSerializer(help_text="Known-bad proposals caught, of those decided.")


class DrillSerializer(serializers.Serializer[Any]):
    proposal = serializers.IntegerField(source="proposal_id")
    title = serializers.CharField(source="proposal.title")
    flaw = serializers.CharField()
    planted_at = serializers.DateTimeField()
    revealed_at = serializers.DateTimeField()
    was_caught = serializers.BooleanField(allow_null=True)


class TeamSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField()
    team = FiguresSerializer()
    people = FiguresSerializer(many=True)
    drills = DrillSerializer(many=True, help_text="Revealed ones only, newest first.")


class LookView(GateView):
    @extend_schema(
        operation_id="proposals_looks_create",
        request=LookSerializer,
        responses={204: None, 400: GateErrorSerializer, 404: GateErrorSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Remember that the signed-in person saw the proposal or opened a part of its evidence."""
        look_note(proposal_id=pk, user=self.person, **self.parsed(LookSerializer))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RollbackView(GateView):
    @extend_schema(
        operation_id="proposals_rollback",
        request=None,
        responses={201: ProposalSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Propose to write back what this proposal replaced; somebody else has to sign it."""
        made = proposal_rollback(proposal_id=pk, user=self.person)
        found = selectors.proposals().get(pk=made.pk)
        return Response(ProposalSerializer(found).data, status=status.HTTP_201_CREATED)


class TeamView(GateView):
    @extend_schema(operation_id="team_figures", responses=TeamSerializer)
    def get(self, request: Request) -> Response:
        """How decisions were made in the last 30 days, by the team and by each person."""
        team, people = team_figures()
        body = {"days": DAYS, "team": team, "people": people, "drills": drills_revealed()}
        return Response(TeamSerializer(body).data)
