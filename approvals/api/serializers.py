"""JSON shapes of the gate. The same proposal JSON goes over REST and WebSocket."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from approvals.canonical import storable
from approvals.honesty.drills import drill_shown
from approvals.models import AuditEntry, Decision, Effect, Execution, Proposal, ProposalTransition
from approvals.services.signatures import signatures_of
from approvals.states import Risk


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    user = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Decision
        fields = (
            "user",
            "verdict",
            "reason",
            "digest",
            "round",
            "role",
            "reauthenticated",
            "is_break_glass",
            "at",
        )


class TransitionSerializer(serializers.ModelSerializer[ProposalTransition]):
    actor = serializers.CharField(source="actor.username", default="", read_only=True)

    class Meta:
        model = ProposalTransition
        fields = ("from_state", "to_state", "actor", "at", "note")


class ExecutionSerializer(serializers.ModelSerializer[Execution]):
    class Meta:
        model = Execution
        fields = (
            "idempotency_key",
            "digest",
            "preconditions",
            "writes",
            "steps",
            "holds",
            "waits",
            "stop_requested_at",
            "stop_reason",
            "started_at",
            "finished_at",
            "confirmed_at",
            "outcome",
            "detail",
        )


class EffectSerializer(serializers.ModelSerializer[Effect]):
    class Meta:
        model = Effect
        fields = (
            "tag",
            "unit",
            "direction",
            "threshold",
            "window_s",
            "started_at",
            "before",
            "after",
            "peak",
            "measured_at",
            "control",
            "estimate",
            "estimate_low",
            "estimate_high",
            "verdict",
            "detail",
        )


class SignatureSerializer(serializers.Serializer[Any]):
    user = serializers.CharField()
    role = serializers.CharField()
    at = serializers.DateTimeField()
    reason = serializers.CharField()
    reauthenticated = serializers.CharField(help_text="'', `password`, `totp` or `recovery`.")
    is_break_glass = serializers.BooleanField()


class SignaturesSerializer(serializers.Serializer[Any]):
    """The signatures of this round."""

    have = serializers.IntegerField()
    need = serializers.IntegerField()
    roles_missing = serializers.ListField(
        child=serializers.CharField(),
        help_text="Roles the next signer may have; empty: none is missing.",
    )
    signed_by = SignatureSerializer(many=True)


class ProposalSerializer(serializers.ModelSerializer[Proposal]):
    """A proposal with its history.

    Pass rows of `selectors.proposals()`: other querysets cost queries per row.
    """

    author = serializers.CharField(read_only=True, help_text="User name, or `agent`.")
    state_label = serializers.CharField(source="get_state_display", read_only=True)
    url = serializers.SerializerMethodField()
    decisions = DecisionSerializer(many=True, read_only=True)
    transitions = TransitionSerializer(many=True, read_only=True)
    signatures = serializers.SerializerMethodField()
    edited_by = serializers.CharField(
        source="edited_by.username", default=None, allow_null=True, read_only=True
    )
    superseded_by = serializers.SerializerMethodField(
        help_text="The revision that replaced it; null: none."
    )
    drill = serializers.SerializerMethodField(
        help_text="What was wrong with it, once it turned out to be a drill; else null."
    )
    execution = serializers.SerializerMethodField()
    effect = serializers.SerializerMethodField()

    class Meta:
        model = Proposal
        fields = (
            "id",
            "url",
            "kind",
            "target",
            "title",
            "params",
            "writes",
            "rationale",
            "citations",
            "evidence",
            "expected_effect",
            "prediction",
            "preconditions",
            "steps",
            "blast_radius",
            "requirement",
            "case",
            "risk",
            "digest",
            "author",
            "requested_by",
            "revises",
            "revision",
            "edited_by",
            "superseded_by",
            "rolls_back",
            "drill",
            "round",
            "alarm",
            "state",
            "state_label",
            "created_at",
            "expires_at",
            "execute_before",
            "state_changed_at",
            "signatures",
            "decisions",
            "transitions",
            "execution",
            "effect",
        )
        read_only_fields = fields

    def get_url(self, proposal: Proposal) -> str:
        return reverse("approvals:proposal", args=[proposal.pk])

    @extend_schema_field(SignaturesSerializer)
    def get_signatures(self, proposal: Proposal) -> dict[str, Any]:
        return dict(SignaturesSerializer(signatures_of(proposal)).data)

    def get_superseded_by(self, proposal: Proposal) -> int | None:
        return max((revision.pk for revision in proposal.revisions.all()), default=None)

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_drill(self, proposal: Proposal) -> dict[str, Any] | None:
        return drill_shown(proposal)

    @extend_schema_field(ExecutionSerializer(allow_null=True))
    def get_execution(self, proposal: Proposal) -> dict[str, Any] | None:
        execution = getattr(proposal, "execution", None)
        return None if execution is None else dict(ExecutionSerializer(execution).data)

    @extend_schema_field(EffectSerializer(allow_null=True))
    def get_effect(self, proposal: Proposal) -> dict[str, Any] | None:
        effect = getattr(proposal, "effect", None)
        return None if effect is None else dict(EffectSerializer(effect).data)


def storable_params(value: dict[str, Any]) -> None:
    """Refuse parameters with characters that the database cannot hold."""
    if value != storable(value):
        raise serializers.ValidationError("Null characters and lone surrogates are not allowed.")


class ProposalRequestSerializer(serializers.Serializer[Any]):
    """A person's own proposal."""

    kind = serializers.CharField(max_length=40, help_text="An action of `/api/v1/actions/`.")
    target = serializers.CharField(max_length=80, help_text="Asset tag, e.g. `crac-4`.")
    params = serializers.DictField(
        default=dict, validators=[storable_params], help_text="By the action's JSON schema."
    )
    rationale = serializers.CharField(max_length=4000, help_text="Why; shown to who signs.")


class SignSerializer(serializers.Serializer[Any]):
    """What goes with a signature."""

    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    password = serializers.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        help_text="The signer's own, where the requirement asks for a proof of identity.",
    )
    otp = serializers.CharField(
        max_length=40,
        required=False,
        allow_blank=True,
        default="",
        help_text="Instead of the password: a code of the authenticator app, or a recovery code.",
    )


class ApproveSerializer(SignSerializer):
    digest = serializers.CharField(
        max_length=128, help_text="The digest of the payload that was read."
    )
    break_glass = serializers.BooleanField(
        default=False, help_text="Sign alone, in an emergency; others review it afterwards."
    )


class ReviseSerializer(SignSerializer):
    digest = serializers.CharField(
        max_length=128, help_text="The digest of the proposal that is being changed."
    )
    params = serializers.DictField(
        validators=[storable_params], help_text="All parameters, by the action's JSON schema."
    )
    rationale = serializers.CharField(
        max_length=4000,
        required=False,
        allow_blank=True,
        default="",
        help_text="Why; empty: as before.",
    )
    approve = serializers.BooleanField(
        default=False, help_text="Sign the revision as well, where its editor may."
    )


class RevisionFormSerializer(serializers.Serializer[Any]):
    proposal = serializers.IntegerField()
    title = serializers.CharField()
    digest = serializers.CharField()
    params = serializers.DictField()
    rationale = serializers.CharField()
    schema = serializers.DictField(help_text="JSON schema of `params` with units and limits.")
    editor_may_sign = serializers.BooleanField()
    reauthenticate = serializers.BooleanField()


class RejectSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")


class GateErrorSerializer(serializers.Serializer[Any]):
    """Error body; some codes add fields, e.g. `digest_mismatch` adds `expected` and `given`."""

    code = serializers.CharField()
    detail = serializers.CharField()


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        fields = ("seq", "at", "actor", "event", "object", "payload", "prev_hash", "hash")


class AuditFilterSerializer(serializers.Serializer[Any]):
    """Which entries of the trail."""

    event = serializers.CharField(
        required=False, allow_blank=True, help_text="Event or its beginning, e.g. `decision.`"
    )
    actor = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="User name, `agent`, `executor`, `meter`, `system`",
    )
    object = serializers.CharField(required=False, allow_blank=True, help_text="e.g. `proposal:12`")
    text = serializers.CharField(
        required=False, allow_blank=True, max_length=200, help_text="Anywhere in its words."
    )
    since = serializers.DateTimeField(required=False, help_text="From this moment on.")
    until = serializers.DateTimeField(required=False, help_text="Before this moment.")


class AuditVerdictSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    checked = serializers.IntegerField(help_text="Entries that hold.")
    broken_seq = serializers.IntegerField(allow_null=True)
    detail = serializers.CharField()
    head = serializers.CharField(
        help_text="Newest good hash; keep it elsewhere to detect a cut-off end."
    )
    anchors = serializers.IntegerField(help_text="Daily anchors that agree with the trail.")


class ActionTargetSerializer(serializers.Serializer[Any]):
    tag = serializers.CharField()
    name = serializers.CharField()
    schema = serializers.DictField(
        help_text="JSON schema of `params` with the point's write limits."
    )


class ActionKindSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    risk = serializers.ChoiceField(choices=Risk.choices)
    summary = serializers.CharField()
    targets = ActionTargetSerializer(many=True)


class PlannedWriteSerializer(serializers.Serializer[Any]):
    tag = serializers.CharField()
    value = serializers.FloatField()
    driver = serializers.CharField()
    binding = serializers.CharField(help_text="Empty: the demo plant, which needs no binding.")
    is_dry_run = serializers.BooleanField()
    plan = serializers.ListField(child=serializers.CharField())
    problem = serializers.CharField(help_text="Why the driver could not carry it out; else empty.")
