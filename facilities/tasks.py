"""Celery tasks of the queue ``telemetry``. Thin: each calls one service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from celery import shared_task

from facilities import partitions, snapshots
from facilities.alarms import duty, engine
from facilities.alarms.notify import deliver
from facilities.converters import derived
from facilities.quality import judge, trend
from facilities.rollups import job as rollups
from facilities.services import heartbeat, quarantine

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "facilities-judge-quality": {
        "task": "facilities.tasks.judge_quality",
        "schedule": judge.EVERY_S,
        "options": {"expires": judge.EVERY_S},
    },
    "facilities-drop-old-quality": {
        "task": "facilities.tasks.drop_old_quality",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "facilities-sweep-alarms": {
        "task": "facilities.tasks.sweep_alarms",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "facilities-tend-alarms": {
        "task": "facilities.tasks.tend_alarms",
        "schedule": 2.0,
        "options": {"expires": 2},
    },
    "facilities-notify-deliver": {
        "task": "facilities.tasks.notify_deliver",
        "schedule": 2.0,
        "options": {"expires": 2},
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
    "facilities-keep-anomaly-detector": {
        "task": "facilities.tasks.keep_anomaly_detector",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "facilities-keep-twin-tracker": {
        "task": "facilities.tasks.keep_twin_tracker",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "facilities-sum-up": {
        "task": "facilities.tasks.sum_up",
        "schedule": rollups.INTERVAL_S,
        "options": {"expires": rollups.INTERVAL_S},
    },
    "facilities-evaluate-derived": {
        "task": "facilities.tasks.evaluate_derived",
        "schedule": 2.0,
        "options": {"expires": 2},
    },
    "facilities-heartbeats": {
        "task": "facilities.tasks.write_heartbeats",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "facilities-prune-quarantine": {
        "task": "facilities.tasks.prune_quarantine",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "facilities-probe-snapshot": {
        "task": "facilities.tasks.probe_snapshot",
        "schedule": snapshots.PROBE_EVERY_S,
        "options": {"expires": snapshots.PROBE_EVERY_S},
    },
    "facilities-tend-whatif": {
        "task": "facilities.tasks.tend_whatif",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
}


@shared_task
def evaluate_points(point_ids: list[int], values: list[list[Any]] | None = None) -> None:
    """Evaluate the alarm rules of these points on ``values`` and their latest readings.

    ``values``: ``[point_id, ts_us, value, flag]`` of the readings just committed.
    """
    engine.evaluate(point_ids=point_ids, values=values or ())


@shared_task
def sweep_alarms() -> None:
    """Evaluate all rules; repairs whatever a lost ``evaluate_points`` left."""
    engine.sweep()


@shared_task
def tend_alarms() -> None:
    """Shelves, windows, groups and escalation steps whose time has come."""
    duty.tick()


@shared_task
def notify_deliver() -> None:
    """Send the notifications that are due, for ten seconds at most."""
    deliver.deliver_due()


@shared_task
def make_partitions() -> None:
    """Make the partitions of today and the next two days, of readings and rollups."""
    partitions.make_ahead()


@shared_task
def drop_old_partitions() -> None:
    """Drop readings and rollups older than their retention."""
    partitions.drop_old_partitions()


@shared_task
def sum_up() -> None:
    """Bring the rollups by minute and hour up to date, a bounded number per run."""
    rollups.run()


@shared_task
def probe_snapshot() -> None:
    """Record who made everyone wait for the facility's state of a moment ago."""
    snapshots.probe()


@shared_task
def evaluate_derived(values: list[list[Any]] | None = None) -> None:
    """Compute the derived points that these inputs feed; without ``values``, all of them.

    ``values``: ``[point_id, ts_us, value, flag]`` of the readings just committed.
    """
    derived.evaluate_derived(values=values)


@shared_task
def write_heartbeats() -> None:
    """Say of every source with a heartbeat whether it is silent."""
    heartbeat.heartbeat_beat()


@shared_task
def prune_quarantine() -> None:
    """Apply the quarantine's bounds; what is dropped is counted."""
    quarantine.quarantine_prune()


@shared_task
def keep_anomaly_detector() -> bool:
    """Have the anomaly detector run in this process, unless another one has it."""
    from facilities.anomaly import worker

    return worker.keep()


@shared_task
def keep_twin_tracker() -> bool:
    """Have the twin follow the plant in this process, unless another one does."""
    from facilities.tracking import worker

    return worker.keep()


@shared_task
def judge_quality() -> None:
    """Run the slow quality tests over the points whose verdict is oldest."""
    judge.judge_due()


@shared_task
def drop_old_quality() -> None:
    """Drop quality trends and source counters that are older than they are kept."""
    trend.drop_old(now=datetime.now(UTC))


@shared_task
def run_whatif(run_id: int) -> str:
    """Compute one what-if with many draws, unless somebody else has it."""
    from facilities.whatif import runs

    return runs.run_perform(run_id=run_id)


@shared_task
def tend_whatif() -> int:
    """Fail the what-if runs whose worker died."""
    from facilities.whatif import runs

    return runs.runs_tend()
