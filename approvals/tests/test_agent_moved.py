"""The agent says what moved with the alarm's point, and from which numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection

from approvals.agent.investigate import investigate
from approvals.models import Investigation
from facilities import partitions
from facilities.correlation import fetch, plant
from facilities.models import Alarm, AlarmRule, LatestReading, Point

pytestmark = pytest.mark.django_db


@pytest.fixture
def alarm(demo_facility: None) -> Alarm:
    """crac-2's supply air warms, and a minute and a half later the inlet of a rack."""
    now = datetime.now(UTC)
    random = np.random.default_rng(4)
    n = 360
    rise = 7 * np.clip((np.arange(n) - 250) / 30, 0, 1)
    late = np.r_[np.zeros(9), rise[:-9]]
    partitions.ensure_partitions({(now - timedelta(hours=1)).date(), now.date()})
    for tag, values in (
        ("crac-2.supply_c", 18 + rise + 0.1 * random.normal(size=n)),
        ("rack-2-03.inlet_c", 22 + late + 0.1 * random.normal(size=n)),
        ("rack-1-01.inlet_c", 22 + 0.1 * random.normal(size=n)),
    ):
        point = Point.objects.get(tag=tag)
        rows = [
            (point.pk, now - timedelta(seconds=10 * (n - at)), float(v), 1, now)
            for at, v in enumerate(values)
        ]
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
                "VALUES (%s, %s, %s, %s, %s)",
                rows,
            )
        LatestReading.objects.update_or_create(
            point=point, defaults={"ts": now, "value": values[-1], "received_at": now}
        )
    fetch.forget()
    plant.forget()
    rule = AlarmRule.objects.filter(asset_kind="rack", quantity="inlet_c").first()
    assert rule is not None
    return Alarm.objects.create(
        point=Point.objects.get(tag="rack-2-03.inlet_c"),
        rule=rule,
        severity=rule.severity,
        message="Inlet air is too warm",
        value=28.5,
        peak_value=29.0,
        raised_at=now - timedelta(minutes=14),
    )


def test_it_records_what_moved_with_lag_and_path(alarm: Alarm) -> None:
    investigate(alarm_id=alarm.pk)
    timeline = Investigation.objects.get().timeline
    step = next(step for step in timeline if step["step"] == "correlate")
    assert step["ok"]
    first = step["output"]["moved"][0]
    assert first["tag"] == "crac-2.supply_c"
    assert first["lag_s"] == pytest.approx(-90, abs=30)
    assert first["r"] > 0.9
    assert first["path"][0] == "rack-2-03" and first["path"][-1] == "crac-2"
    assert step["output"]["points_compared"] == 3
    assert step["output"]["window"]["start"] < step["output"]["window"]["end"]
    assert [m["tag"] for m in step["output"]["moved"]] == ["crac-2.supply_c"]


def test_it_goes_on_when_there_is_nothing_to_compare(alarm: Alarm) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE facilities_reading")
    fetch.forget()
    investigate(alarm_id=alarm.pk)
    timeline = Investigation.objects.get().timeline
    step = next(step for step in timeline if step["step"] == "correlate")
    assert step["output"]["moved"] == []
    assert "no usable readings" in step["output"]["reason"]
    assert timeline[-1]["step"] != "correlate"
