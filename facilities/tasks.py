"""Celery tasks of the queue ``telemetry``. Thin: each calls one service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import shared_task

from facilities import partitions
from facilities.alarms import engine

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "facilities-sweep-alarms": {
        "task": "facilities.tasks.sweep_alarms",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "facilities-make-partitions": {
        "task": "facilities.tasks.make_partitions",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "facilities-drop-old-partitions": {
        "task": "facilities.tasks.drop_old_partitions",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600},
    },
}


@shared_task
def evaluate_points(point_ids: list[int]) -> None:
    """Evaluate the alarm rules of these points on their latest readings."""
    engine.evaluate(point_ids=point_ids)


@shared_task
def sweep_alarms() -> None:
    """Evaluate all rules; repairs whatever a lost ``evaluate_points`` left."""
    engine.sweep()


@shared_task
def make_partitions() -> None:
    """Make today's and tomorrow's partition of the readings."""
    today = datetime.now(UTC).date()
    partitions.ensure_partitions([today, today + timedelta(days=1)])


@shared_task
def drop_old_partitions() -> None:
    """Drop readings older than ``RETENTION_DAYS``."""
    partitions.drop_old_partitions()
