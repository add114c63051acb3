"""JSON shapes of the policy and its windows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from approvals.models import ChangeWindow, PolicyChange, PolicyVersion, WindowKind

LONG = 4000


class ProofSerializer(serializers.Serializer[Any]):
    """Password or code once more; both empty where it is not needed."""

    password = serializers.CharField(
        max_length=512,
        write_only=True,
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
    )
    otp = serializers.CharField(
        max_length=64, write_only=True, required=False, allow_blank=True, default=""
    )


class PolicyVersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    made_by = serializers.CharField(
        source="made_by.username", default="", read_only=True, help_text="Empty: as shipped."
    )

    class Meta:
        model = PolicyVersion
        fields = ("number", "digest", "note", "made_by", "made_at")
        read_only_fields = fields


class PolicyDocumentSerializer(PolicyVersionSerializer):
    """A version with its document."""

    changes = serializers.SerializerMethodField(help_text="Against the version before.")

    class Meta:
        model = PolicyVersion
        fields = (*PolicyVersionSerializer.Meta.fields, "document", "changes")
        read_only_fields = fields

    def get_changes(self, version: PolicyVersion) -> list[str]:
        from approvals.policy.compare import changes_between

        before = PolicyVersion.objects.filter(pk=version.number - 1).first()
        return changes_between(before.document, version.document) if before else []


class WeakerSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    example = serializers.CharField(help_text="An action that it concerns.")


class PolicyChangeSerializer(serializers.ModelSerializer[PolicyChange]):
    """A change that waits, or waited, for a second person."""

    made_by = serializers.CharField(source="made_by.username", read_only=True)
    decided_by = serializers.CharField(source="decided_by.username", default="", read_only=True)
    weaker = WeakerSerializer(many=True, read_only=True)
    verdict = serializers.CharField(
        read_only=True, help_text="Empty while it waits; accepted, refused or withdrawn."
    )

    class Meta:
        model = PolicyChange
        fields = (
            "id", "base", "digest", "note", "document", "weaker", "made_by", "made_at", "verdict",
            "decided_by", "decided_at", "comment",
        )  # fmt: skip
        read_only_fields = fields


class PolicySavedSerializer(serializers.Serializer[Any]):
    """What became of a change: a version in force, or one that waits for a second person."""

    version = PolicyVersionSerializer(allow_null=True)
    waiting = PolicyChangeSerializer(allow_null=True)


class PolicySaveSerializer(ProofSerializer):
    document = serializers.DictField()
    note = serializers.CharField(max_length=LONG, help_text="Why; shown in the history.")
    base_number = serializers.IntegerField(
        min_value=1, help_text="The version that was changed; 409 when another is in force by now."
    )


class PolicyRestoreSerializer(ProofSerializer):
    note = serializers.CharField(max_length=LONG, required=False, allow_blank=True, default="")
    base_number = serializers.IntegerField(min_value=1)


class PolicyDecideSerializer(ProofSerializer):
    accept = serializers.BooleanField()
    comment = serializers.CharField(max_length=LONG, required=False, allow_blank=True, default="")


class PolicyCandidateSerializer(serializers.Serializer[Any]):
    document = serializers.DictField()


class PolicyProblemSerializer(serializers.Serializer[Any]):
    where = serializers.CharField(help_text="Path into the document, e.g. `rules[2].match.kinds`.")
    text = serializers.CharField()
    is_error = serializers.BooleanField(help_text="False: may be saved, but look at it.")


class PolicyCheckedSerializer(serializers.Serializer[Any]):
    problems = PolicyProblemSerializer(many=True)
    changes = serializers.ListField(child=serializers.CharField())
    weaker = WeakerSerializer(many=True)
    needs_second_person = serializers.BooleanField()
    sentences = serializers.ListField(
        child=serializers.CharField(), help_text="One per rule, in the document's order."
    )


class PolicySimulateSerializer(PolicyCandidateSerializer):
    days = serializers.FloatField(min_value=0.01, max_value=366, default=30)


class RequirementSerializer(serializers.Serializer[Any]):
    signatures = serializers.IntegerField()
    least_role = serializers.CharField()
    distinct_roles = serializers.IntegerField()
    reason = serializers.BooleanField()
    reauthenticate = serializers.BooleanField()
    editor_may_sign = serializers.BooleanField()
    maintenance_only = serializers.BooleanField()
    approval_valid_s = serializers.FloatField()
    execute_within_s = serializers.FloatField()
    rollback = serializers.CharField()
    on_freeze = serializers.ChoiceField(
        choices=["finish", "hold"],
        help_text="Whether a procedure goes on, or waits before its next step, when a freeze begins.",
    )
    policy = serializers.IntegerField()
    because = serializers.ListField(child=serializers.CharField())


class SimulatedCaseSerializer(serializers.Serializer[Any]):
    proposal = serializers.IntegerField()
    title = serializers.CharField()
    at = serializers.DateTimeField()
    state = serializers.CharField()
    change = serializers.ChoiceField(choices=("stricter", "looser", "same"))
    was = RequirementSerializer()
    now = RequirementSerializer()
    missing = serializers.CharField()
    denied_by = serializers.ListField(child=serializers.CharField())
    freed_from = serializers.ListField(child=serializers.CharField())


class SimulationSerializer(serializers.Serializer[Any]):
    days = serializers.FloatField()
    looked_at = serializers.IntegerField()
    is_cut = serializers.BooleanField(help_text="There were more; the newest were looked at.")
    counts = serializers.DictField(child=serializers.IntegerField())
    by_rule = serializers.DictField(child=serializers.IntegerField())
    cases = SimulatedCaseSerializer(many=True, help_text="Those with a difference.")


class PolicyPreviewRequestSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=40)
    target = serializers.CharField(max_length=80)
    params = serializers.DictField(default=dict)
    at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    with_prediction = serializers.BooleanField(
        default=False, help_text="Ask the twin too; needs approvals.add_proposal."
    )


class DenialSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    sentence = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    can_break_glass = serializers.BooleanField()


class BarriersSerializer(serializers.Serializer[Any]):
    propose = DenialSerializer(many=True)
    approve = DenialSerializer(many=True)
    execute = DenialSerializer(many=True)


class SignerSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.CharField()
    high_risk = serializers.BooleanField(help_text="May be the one that high risk needs.")


class CheckedConditionSerializer(serializers.Serializer[Any]):
    tag = serializers.CharField()
    expected = serializers.CharField()
    actual = serializers.FloatField(allow_null=True)
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class PolicyPreviewSerializer(serializers.Serializer[Any]):
    """Nothing was asked for and nothing is stored."""

    title = serializers.CharField()
    at = serializers.DateTimeField()
    risk = serializers.CharField(source="subject.risk")
    hall = serializers.CharField(source="subject.hall")
    blast_radius = serializers.DictField(source="subject.blast_radius")
    requirement = RequirementSerializer()
    sentence = serializers.CharField()
    people = SignerSerializer(many=True)
    problem = serializers.CharField(help_text="Why these people could not sign it; else empty.")
    warnings = serializers.ListField(
        child=serializers.CharField(),
        help_text="What nobody would be left for (signatures, holds of a second person, reviews of "
        "an emergency), each with what to do.",
    )
    barriers = BarriersSerializer()
    preconditions = CheckedConditionSerializer(many=True)
    writes = serializers.ListField(child=serializers.DictField())
    cool_down_s = serializers.FloatField()
    prediction = serializers.DictField()


class ChangeWindowSerializer(serializers.ModelSerializer[ChangeWindow]):
    made_by = serializers.CharField(source="made_by.username", read_only=True)
    cancelled_by = serializers.CharField(source="cancelled_by.username", default="", read_only=True)
    covers = serializers.SerializerMethodField(help_text="What it is about, in words.")
    when = serializers.SerializerMethodField(help_text="Its times, in words.")

    class Meta:
        model = ChangeWindow
        fields = (
            "id", "name", "kind", "starts_at", "ends_at", "weekly", "match", "covers", "when",
            "reason", "made_by", "made_at", "cancelled_by", "cancelled_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_covers(self, window: ChangeWindow) -> str:
        from approvals.policy.matching import Match

        return Match.from_dict(window.match).words

    def get_when(self, window: ChangeWindow) -> str:
        from approvals.policy.windows import Window

        return Window.of(window).when


class WindowRequestSerializer(ProofSerializer):
    name = serializers.CharField(max_length=80)
    kind = serializers.ChoiceField(choices=WindowKind.choices)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    weekly = serializers.DictField(
        default=dict, help_text="{days: [0..6], from, to, zone}; empty: once, from start to end."
    )
    match = serializers.DictField(default=dict, help_text="As a rule's match; empty: everything.")
    reason = serializers.CharField(max_length=LONG)


class WindowCancelSerializer(ProofSerializer):
    reason = serializers.CharField(max_length=LONG)


class OccurrenceSerializer(serializers.Serializer[Any]):
    window = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    covers = serializers.CharField()
