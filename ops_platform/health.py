"""Health end points: `live` says the process answers, `ready` names every part it needs."""

import time
from collections.abc import Callable

import httpx
import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse

from ops_platform.tasks import HEARTBEAT_KEY, HEARTBEAT_PERIOD_S


class NotReady(Exception):
    """A part that is needed does not answer; the text says which and how it failed."""


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            row = cursor.fetchone()
    except DatabaseError as error:
        raise NotReady(f"no answer from PostgreSQL ({type(error).__name__})") from error
    if row is None:
        raise NotReady("PostgreSQL answers, but the extension pgvector is missing")
    return f"pgvector {row[0]}"


def _redis_client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def _redis() -> str:
    try:
        with _redis_client() as client:
            client.ping()
    except redis.RedisError as error:
        raise NotReady(f"no answer from Redis ({type(error).__name__})") from error
    return "answers"


def _kvserve() -> str:
    tried = []
    for url in settings.LLM_URLS:
        try:
            answer = httpx.get(f"{url}/v1/models", timeout=1.5)
            if answer.status_code == 200:
                return f"{len(answer.json().get('data', []))} models"
            tried.append(f"status {answer.status_code}")
        except (httpx.HTTPError, ValueError) as error:
            tried.append(type(error).__name__)
    raise NotReady(f"no LLM server answers ({', '.join(tried)})")


def _worker() -> str:
    try:
        with _redis_client() as client:
            beat = client.get(HEARTBEAT_KEY)
    except redis.RedisError as error:
        raise NotReady("unknown: the heartbeat is kept in Redis, which does not answer") from error
    if beat is None:
        raise NotReady("no heartbeat yet: worker or beat is not running")
    age = time.time() - float(str(beat, "ascii") if isinstance(beat, bytes) else str(beat))
    if age > HEARTBEAT_PERIOD_S * 4:
        raise NotReady(f"last heartbeat {age:.0f} s ago: worker or beat is not running")
    return f"heartbeat {age:.0f} s ago"


PARTS: dict[str, Callable[[], str]] = {
    "database": _database,
    "redis": _redis,
    "kvserve": _kvserve,
    "worker": _worker,
}


def live(request: HttpRequest) -> JsonResponse:
    """200 while the process can answer at all; touches nothing else."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when every part answers, else 503; each part is named either way."""
    parts: dict[str, dict[str, str]] = {}
    for name, probe in PARTS.items():
        try:
            parts[name] = {"status": "ok", "detail": probe()}
        except NotReady as error:
            parts[name] = {"status": "failed", "detail": str(error)}
    well = all(part["status"] == "ok" for part in parts.values())
    return JsonResponse(
        {"status": "ok" if well else "not ready", "parts": parts}, status=200 if well else 503
    )
