"""The plant's batches through the product's own endpoint: all are taken, healthy or broken."""

import json
import math
from pathlib import Path

import pytest
from django.test import Client

from facilities import partitions
from facilities.demo.plant.faults import FAULTS
from facilities.demo.plant.points import read_facility
from facilities.demo.plant.runtime import Runtime
from facilities.ingest import points
from facilities.models import Point
from facilities.services.sources import source_create


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(read_facility(), data_dir=tmp_path)


@pytest.mark.django_db
def test_it_pushes_the_points_that_the_facility_file_makes(
    demo_facility: None, runtime: Runtime
) -> None:
    assert set(runtime.sensors.tags) == set(Point.objects.values_list("tag", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize("faults", [[], sorted(FAULTS)])
def test_it_pushes_readings_that_are_all_accepted(
    demo_facility: None, runtime: Runtime, faults: list[str]
) -> None:
    points.forget()
    partitions.forget()
    for name in faults:
        runtime.inject(name)
    for _ in range(180):
        runtime.step(1.0)
    batch = runtime.batch()
    body = {
        "readings": [
            {"point": tag, "ts": batch.ts, "value": value}
            for tag, value in zip(runtime.sensors.tags, batch.values, strict=True)
            if not math.isnan(value)  # as the outbox does: an instrument that says nothing
        ]
    }
    silent = {
        tag
        for tag, value in zip(runtime.sensors.tags, batch.values, strict=True)
        if math.isnan(value)
    }
    assert ("rack-2-06.inlet_c" in silent) is ("sensor-silent" in faults)
    assert silent <= {"rack-2-06.inlet_c", "rack-1-07.outlet_c"}  # silent, and one that drops out
    answer = Client().post(
        "/api/v1/readings",
        data=json.dumps(body),
        content_type="application/json",
        headers={"authorization": f"Token {source_create(name='plant').token}"},
    )
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"accepted": len(body["readings"]), "rejected": []}
