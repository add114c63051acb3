"""The Celery application: four queues, JSON only, each app's beat schedule merged."""

import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")

QUEUES = ("telemetry", "knowledge", "agent", "actions")

app = Celery("holdpoint")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in QUEUES]
app.autodiscover_tasks(["ops_platform", "facilities", "rag", "approvals"])


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """Leave logging as Django's settings set it up, the same in every process."""


@app.on_after_finalize.connect
def _merge_schedules(sender: Celery, **_: Any) -> None:
    for name in ("ops_platform", "facilities", "rag", "approvals"):
        sender.conf.beat_schedule.update(
            getattr(import_module(f"{name}.tasks"), "BEAT_SCHEDULE", {})
        )


@worker_ready.connect
def _record_worker(sender: Any, **_: Any) -> None:
    """Have this worker recorded: the requirements board tells how stable it is."""
    from facilities.services.processes import watch

    watch(str(sender.hostname).partition("@")[0])
