"""The agent reads one consistent state, and says whether it was complete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.agent import gather
from approvals.agent.occasion import occasion_of_alarm
from approvals.situations import measured_at, situation_read
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from facilities import selectors
from facilities.models import Alarm, AlarmRule, LatestReading, Point, Quality

pytestmark = pytest.mark.django_db


def gathered() -> dict[str, Any]:
    """What the agent's first tool answers about an alarm of CRAC 2."""
    point, rule = Point.objects.get(tag="crac-2.fault"), AlarmRule.objects.get(name="CRAC fault")
    alarm = Alarm.objects.create(
        point=point,
        rule=rule,
        severity=rule.severity,
        value=1.0,
        peak_value=1.0,
        raised_at=timezone.now(),
    )
    return gather.read_hall(occasion_of_alarm(alarm))


def test_it_records_the_state_it_read(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    LatestReading.objects.update(ts=timezone.now())
    output = gathered()
    assert output["snapshot"]["complete"] is True
    assert output["snapshot"]["missing_sources"] == []
    assert output["readings"] > 60


def test_it_goes_on_without_a_source_that_does_not_come_and_says_so(
    set_values: SetValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_values(CRAC_2_DOWN)
    late = timezone.now() - timedelta(seconds=20)
    LatestReading.objects.filter(point__tag="rack-1-01.power_w").update(ts=late)
    monkeypatch.setattr(gather, "SNAPSHOT_WAIT_S", 0.2)
    output = gathered()
    taken = output["snapshot"]
    assert (taken["complete"], taken["missing_sources"]) == (False, ["unknown"])
    assert 0.2 <= taken["waited_s"] < 3
    assert any("CRAC 2 reports a fault" in fact for fact in output["facts"])


def test_it_takes_no_value_that_failed_its_quality_tests(set_values: SetValues) -> None:
    set_values({})
    LatestReading.objects.filter(point__tag="rack-1-01.inlet_c").update(quality=Quality.FAIL)
    LatestReading.objects.filter(point__tag="rack-1-02.inlet_c").update(quality=Quality.SUSPECT)
    taken = selectors.snapshot(mode="latest")
    values = measured_at(taken)
    assert "rack-1-01.inlet_c" in taken.values
    assert "rack-1-01.inlet_c" not in values
    assert "rack-1-02.inlet_c" in values
    racks = [rack.tag for rack in situation_read(hall="hall-1", snapshot=taken).racks]
    assert "rack-1-01" not in racks
    assert "rack-1-02" in racks
