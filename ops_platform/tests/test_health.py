"""/health/live and /health/ready name what works, against the real services."""

import time

import pytest
import redis
from django.conf import settings
from django.test import Client

from ops_platform.tasks import HEARTBEAT_KEY, heartbeat


@pytest.fixture
def broker() -> redis.Redis:
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.delete(HEARTBEAT_KEY)
    return client


def test_it_is_live_without_any_service() -> None:
    assert Client().get("/health/live").json() == {"status": "ok"}


def test_it_names_each_part_that_is_missing(db: None, broker: redis.Redis, settings) -> None:
    settings.LLM_URLS = ["http://127.0.0.1:9"]  # the discard port: nothing listens
    answer = Client().get("/health/ready")
    assert answer.status_code == 503
    parts = answer.json()["parts"]
    assert parts["database"]["status"] == parts["redis"]["status"] == "ok"
    assert "ConnectError" in parts["kvserve"]["detail"]
    assert "worker or beat is not running" in parts["worker"]["detail"]


def test_it_believes_a_fresh_heartbeat_only(db: None, broker: redis.Redis) -> None:
    heartbeat()
    assert Client().get("/health/ready").json()["parts"]["worker"]["status"] == "ok"
    broker.set(HEARTBEAT_KEY, str(time.time() - 60))
    assert "60 s ago" in Client().get("/health/ready").json()["parts"]["worker"]["detail"]


def test_it_survives_a_lost_redis(db: None, settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    parts = Client().get("/health/ready").json()["parts"]
    assert parts["redis"]["status"] == parts["worker"]["status"] == "failed"
    assert parts["database"]["status"] == "ok"


@pytest.mark.slow
def test_it_is_ready_with_the_real_engine(db: None, broker: redis.Redis, kvserve_url, settings):
    settings.LLM_URLS = [kvserve_url]
    heartbeat()
    answer = Client().get("/health/ready")
    assert answer.status_code == 200, answer.content
