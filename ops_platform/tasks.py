"""The platform's own periodic task: proof that beat, broker and a worker are alive."""

import time

import redis
from celery import shared_task
from django.conf import settings

HEARTBEAT_KEY = "hp:worker-heartbeat"
HEARTBEAT_PERIOD_S = 5.0

BEAT_SCHEDULE = {
    "platform-heartbeat": {
        "task": "ops_platform.tasks.heartbeat",
        "schedule": HEARTBEAT_PERIOD_S,
        "options": {"expires": HEARTBEAT_PERIOD_S * 2},
    }
}


@shared_task
def heartbeat() -> None:
    """Write the present time (epoch seconds) where `/health/ready` reads it."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2)
    try:
        client.set(HEARTBEAT_KEY, str(time.time()), ex=300)
    finally:
        client.close()
