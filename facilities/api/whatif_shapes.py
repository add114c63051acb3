"""JSON shapes of what-if: questions, answers, the catalogue and runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from facilities.models import WhatIfRun
from facilities.whatif.question import (
    DEFAULT_DRAWS,
    DEFAULT_DURATION_S,
    MAX_CHANGES,
    MAX_DRAWS,
    MAX_DURATION_S,
    MAX_RECORD,
    MAX_RUN_DRAWS,
    MIN_DURATION_S,
)

Shape = serializers.Serializer[Any]


class ChangeSerializer(Shape):
    """One change: either ``what`` of the catalogue, or ``quantity`` of a drive."""

    asset = serializers.CharField(help_text="Tag of an asset, or `site`")
    at_s = serializers.FloatField(default=0, help_text="Seconds from now")
    what = serializers.CharField(required=False, help_text="Name in the catalogue")
    quantity = serializers.CharField(required=False, help_text="A drive, e.g. `fan_speed_sp_pct`")
    value = serializers.FloatField(
        required=False, help_text="In the unit of the catalogue or drive"
    )
    ramp_s = serializers.FloatField(required=False, help_text="Moves there in this time")


class QuestionSerializer(Shape):
    """A question to the twin."""

    changes = ChangeSerializer(many=True, max_length=MAX_CHANGES)  # type: ignore[call-arg]
    duration_s = serializers.FloatField(
        default=DEFAULT_DURATION_S, min_value=MIN_DURATION_S, max_value=MAX_DURATION_S
    )
    draws = serializers.IntegerField(
        default=DEFAULT_DRAWS,
        min_value=1,
        max_value=MAX_RUN_DRAWS,
        help_text=f"Draws of uncertain constants; at most {MAX_DRAWS} when answered at once",
    )
    seed = serializers.IntegerField(default=0, help_text="The same seed gives the same draws")
    title = serializers.CharField(required=False, max_length=200)
    record = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        max_length=MAX_RECORD,
        help_text="Series: `rack-1-03.inlet_c`, or `max(rack.inlet_c)` (min, sum, mean)",
    )


class BandSerializer(Shape):
    """10th, 50th and 90th percentile over the draws."""

    p10 = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p90 = serializers.FloatField(allow_null=True)


class CourseSerializer(Shape):
    """One course of events."""

    title = serializers.CharField()
    groups = serializers.ListField(
        child=serializers.CharField(), help_text="action, fault, outside"
    )


class LineSerializer(Shape):
    """One series in one course of events, along ``times_s``."""

    p10 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    p50 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    p90 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    end = serializers.FloatField(allow_null=True)
    peak = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)


class LevelSerializer(Shape):
    """A limit to draw beside a series."""

    rule = serializers.CharField()
    level = serializers.FloatField()
    comparator = serializers.CharField()
    severity = serializers.CharField()


class SeriesSerializer(Shape):
    """One series in every course of events."""

    name = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField()
    worst = serializers.ListField(
        child=serializers.CharField(), help_text="Of max and min: the asset, by course"
    )
    levels = LevelSerializer(many=True)
    options = LineSerializer(many=True)


class AlarmCourseSerializer(Shape):
    """An alarm in one course of events."""

    probability = serializers.FloatField(help_text="Share of the draws that raise it")
    first_s = serializers.FloatField(allow_null=True, help_text="Median time until it is raised")
    first_low_s = serializers.FloatField(allow_null=True)
    first_high_s = serializers.FloatField(allow_null=True)
    clears = serializers.FloatField(help_text="Share of the draws in which it clears again")
    cleared_s = serializers.FloatField(allow_null=True)


class PredictedAlarmSerializer(Shape):
    """An alarm that would come, or is on."""

    rule = serializers.CharField()
    point = serializers.CharField()
    asset = serializers.CharField()
    title = serializers.CharField()
    severity = serializers.CharField()
    message = serializers.CharField()
    comparator = serializers.CharField()
    level = serializers.FloatField()
    unit = serializers.CharField()
    active_now = serializers.BooleanField()
    options = AlarmCourseSerializer(many=True)


class FirstSerializer(Shape):
    """The first new alarm that comes in at least half of the draws."""

    rule = serializers.CharField()
    point = serializers.CharField()
    severity = serializers.CharField()
    at_s = serializers.FloatField()
    probability = serializers.FloatField()


class PriceSerializer(Shape):
    """Price of a kilowatt-hour."""

    per_kwh = serializers.FloatField()
    currency = serializers.CharField()
    carbon_g_kwh = serializers.FloatField()


class EnergyCourseSerializer(Shape):
    """Energy in one course of events, and what is more than doing nothing."""

    facility_kwh = BandSerializer()
    facility_more_kwh = BandSerializer()
    it_kwh = BandSerializer()
    it_more_kwh = BandSerializer()
    more_cost = BandSerializer(required=False)
    more_carbon_kg = BandSerializer(required=False)
    throttled_gpu_h = BandSerializer()


class EnergySerializer(Shape):
    """Energy by course of events."""

    price = PriceSerializer(allow_null=True)
    options = EnergyCourseSerializer(many=True)


class JobCourseSerializer(Shape):
    """A job in one course of events; differences are to doing nothing."""

    step_s = BandSerializer()
    slower_pct = BandSerializer()
    throughput_pct = BandSerializer()
    lost_gpu_h = BandSerializer()
    more_lost_gpu_h = BandSerializer()


class JobSerializer(Shape):
    """A job in every course of events."""

    job = serializers.CharField()
    name = serializers.CharField()
    options = JobCourseSerializer(many=True)


class FitSerializer(Shape):
    """Whether the twin may be trusted now."""

    verdict = serializers.ChoiceField(choices=("fit", "unfit", "unknown"))
    text = serializers.CharField()
    quantities = serializers.DictField()


class AnswerSerializer(Shape):
    """Doing nothing (course 0) and the changes (course 1), from the live state."""

    at = serializers.DateTimeField(help_text="Time of the state it starts from")
    model = serializers.CharField()
    fit = FitSerializer()
    duration_s = serializers.FloatField()
    draws = serializers.IntegerField()
    seed = serializers.IntegerField()
    summary = serializers.ListField(child=serializers.CharField())
    options = CourseSerializer(many=True)
    times_s = serializers.ListField(child=serializers.FloatField())
    series = SeriesSerializer(many=True)
    alarms = PredictedAlarmSerializer(many=True)
    alarms_left_out = serializers.IntegerField()
    first = FirstSerializer(many=True, allow_null=True)
    energy = EnergySerializer()
    jobs = JobSerializer(many=True)
    closure = serializers.FloatField(help_text="Largest relative error of the energy balance")
    notes = serializers.ListField(child=serializers.CharField())
    ms = serializers.DictField(child=serializers.FloatField())


class EntrySerializer(Shape):
    """One entry of the catalogue."""

    name = serializers.CharField()
    title = serializers.CharField()
    group = serializers.ChoiceField(choices=("action", "fault", "outside"))
    kinds = serializers.ListField(child=serializers.CharField())
    asks = serializers.BooleanField(help_text="Whether a value has to be given")
    default = serializers.FloatField(allow_null=True)
    unit = serializers.CharField()
    relative = serializers.BooleanField()
    ramp_s = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class DriveSerializer(Shape):
    """One drive of the asset: what may be set freely."""

    quantity = serializers.CharField()
    meaning = serializers.CharField()
    role = serializers.ChoiceField(choices=("command", "health", "boundary"))
    unit = serializers.CharField()
    now = serializers.FloatField(allow_null=True)
    low = serializers.FloatField()
    high = serializers.FloatField()


class CatalogueSerializer(Shape):
    """What may be asked, of everything or of one asset."""

    asset = serializers.CharField(allow_null=True)
    kind = serializers.CharField(allow_null=True)
    entries = EntrySerializer(many=True)
    drives = DriveSerializer(many=True)


class RunSerializer(serializers.ModelSerializer[WhatIfRun]):
    """A run of a worker, without its answer."""

    requested_by = serializers.CharField(
        source="requested_by.username", default=None, read_only=True, allow_null=True
    )
    state_label = serializers.CharField(source="get_state_display", read_only=True)

    class Meta:
        model = WhatIfRun
        fields: tuple[str, ...] = (
            "id",
            "title",
            "question",
            "state",
            "state_label",
            "progress",
            "problem",
            "requested_by",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class RunDetailSerializer(RunSerializer):
    """A run with its answer."""

    answer = serializers.SerializerMethodField()

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, "answer")
        read_only_fields = fields

    @extend_schema_field(AnswerSerializer(allow_null=True))
    def get_answer(self, run: WhatIfRun) -> Any:
        """The answer as the worker stored it."""
        return run.answer
