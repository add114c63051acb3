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


class WhatIfChangeSerializer(Shape):
    """One change: either ``what`` of the catalogue, or ``quantity`` of a drive."""

    asset = serializers.CharField(help_text="Tag of an asset, or `site`")
    at_s = serializers.FloatField(default=0, help_text="Seconds from now")
    what = serializers.CharField(required=False, help_text="Name in the catalogue")
    quantity = serializers.CharField(required=False, help_text="A drive, e.g. `fan_speed_sp_pct`")
    value = serializers.FloatField(
        required=False, help_text="In the unit of the catalogue or drive"
    )
    ramp_s = serializers.FloatField(required=False, help_text="Moves there in this time")


class WhatIfQuestionSerializer(Shape):
    """A question to the twin."""

    changes = WhatIfChangeSerializer(many=True, max_length=MAX_CHANGES)  # type: ignore[call-arg]
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


class WhatIfBandSerializer(Shape):
    """10th, 50th and 90th percentile over the draws."""

    p10 = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p90 = serializers.FloatField(allow_null=True)


class WhatIfCourseSerializer(Shape):
    """One course of events."""

    title = serializers.CharField()
    groups = serializers.ListField(
        child=serializers.CharField(), help_text="action, fault, outside"
    )


class WhatIfLineSerializer(Shape):
    """One series in one course of events, along ``times_s``."""

    p10 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    p50 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    p90 = serializers.ListField(child=serializers.FloatField(allow_null=True))
    end = serializers.FloatField(allow_null=True)
    peak = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)


class WhatIfLevelSerializer(Shape):
    """A limit to draw beside a series."""

    rule = serializers.CharField()
    level = serializers.FloatField()
    comparator = serializers.CharField()
    severity = serializers.CharField()


class WhatIfSeriesSerializer(Shape):
    """One series in every course of events."""

    name = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField()
    worst = serializers.ListField(
        child=serializers.CharField(), help_text="Of max and min: the asset, by course"
    )
    levels = WhatIfLevelSerializer(many=True)
    options = WhatIfLineSerializer(many=True)


class WhatIfAlarmCourseSerializer(Shape):
    """An alarm in one course of events."""

    probability = serializers.FloatField(help_text="Share of the draws that raise it")
    first_s = serializers.FloatField(allow_null=True, help_text="Median time until it is raised")
    first_low_s = serializers.FloatField(allow_null=True)
    first_high_s = serializers.FloatField(allow_null=True)
    clears = serializers.FloatField(help_text="Share of the draws in which it clears again")
    cleared_s = serializers.FloatField(allow_null=True)


class WhatIfPredictedAlarmSerializer(Shape):
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
    options = WhatIfAlarmCourseSerializer(many=True)


class WhatIfFirstSerializer(Shape):
    """The first new alarm that comes in at least half of the draws."""

    rule = serializers.CharField()
    point = serializers.CharField()
    severity = serializers.CharField()
    at_s = serializers.FloatField()
    probability = serializers.FloatField()


class WhatIfPriceSerializer(Shape):
    """Price of a kilowatt-hour."""

    per_kwh = serializers.FloatField()
    currency = serializers.CharField()
    carbon_g_kwh = serializers.FloatField()


class WhatIfEnergyCourseSerializer(Shape):
    """Energy in one course of events, and what is more than doing nothing."""

    facility_kwh = WhatIfBandSerializer()
    facility_more_kwh = WhatIfBandSerializer()
    it_kwh = WhatIfBandSerializer()
    it_more_kwh = WhatIfBandSerializer()
    more_cost = WhatIfBandSerializer(required=False)
    more_carbon_kg = WhatIfBandSerializer(required=False)
    throttled_gpu_h = WhatIfBandSerializer()


class WhatIfEnergySerializer(Shape):
    """Energy by course of events."""

    price = WhatIfPriceSerializer(allow_null=True)
    options = WhatIfEnergyCourseSerializer(many=True)


class WhatIfJobCourseSerializer(Shape):
    """A job in one course of events; differences are to doing nothing."""

    step_s = WhatIfBandSerializer()
    slower_pct = WhatIfBandSerializer()
    throughput_pct = WhatIfBandSerializer()
    lost_gpu_h = WhatIfBandSerializer()
    more_lost_gpu_h = WhatIfBandSerializer()


class WhatIfJobSerializer(Shape):
    """A job in every course of events."""

    job = serializers.CharField()
    name = serializers.CharField()
    options = WhatIfJobCourseSerializer(many=True)


class WhatIfFitSerializer(Shape):
    """Whether the twin may be trusted now."""

    verdict = serializers.ChoiceField(choices=("fit", "unfit", "unknown"))
    text = serializers.CharField()
    quantities = serializers.DictField()


class WhatIfAnswerSerializer(Shape):
    """Doing nothing (course 0) and the changes (course 1), from the live state."""

    at = serializers.DateTimeField(help_text="Time of the state it starts from")
    model = serializers.CharField()
    fit = WhatIfFitSerializer()
    duration_s = serializers.FloatField()
    draws = serializers.IntegerField()
    seed = serializers.IntegerField()
    summary = serializers.ListField(child=serializers.CharField())
    options = WhatIfCourseSerializer(many=True)
    times_s = serializers.ListField(child=serializers.FloatField())
    series = WhatIfSeriesSerializer(many=True)
    alarms = WhatIfPredictedAlarmSerializer(many=True)
    alarms_left_out = serializers.IntegerField()
    first = WhatIfFirstSerializer(many=True, allow_null=True)
    energy = WhatIfEnergySerializer()
    jobs = WhatIfJobSerializer(many=True)
    closure = serializers.FloatField(help_text="Largest relative error of the energy balance")
    notes = serializers.ListField(child=serializers.CharField())
    ms = serializers.DictField(child=serializers.FloatField())


class WhatIfEntrySerializer(Shape):
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


class WhatIfDriveSerializer(Shape):
    """One drive of the asset: what may be set freely."""

    quantity = serializers.CharField()
    meaning = serializers.CharField()
    role = serializers.ChoiceField(choices=("command", "health", "boundary"))
    unit = serializers.CharField()
    now = serializers.FloatField(allow_null=True)
    low = serializers.FloatField()
    high = serializers.FloatField()


class WhatIfCatalogueSerializer(Shape):
    """What may be asked, of everything or of one asset."""

    asset = serializers.CharField(allow_null=True)
    kind = serializers.CharField(allow_null=True)
    entries = WhatIfEntrySerializer(many=True)
    drives = WhatIfDriveSerializer(many=True)


class WhatIfRunSerializer(serializers.ModelSerializer[WhatIfRun]):
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


class WhatIfRunDetailSerializer(WhatIfRunSerializer):
    """A run with its answer."""

    answer = serializers.SerializerMethodField()

    class Meta(WhatIfRunSerializer.Meta):
        fields = (*WhatIfRunSerializer.Meta.fields, "answer")
        read_only_fields = fields

    @extend_schema_field(WhatIfAnswerSerializer(allow_null=True))
    def get_answer(self, run: WhatIfRun) -> Any:
        """The answer as the worker stored it."""
        return run.answer
