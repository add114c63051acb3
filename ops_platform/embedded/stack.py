"""The children of one stack: what each is, in which order it starts and stops."""

import signal
from pathlib import Path

import httpx

from ops_platform.config import BASE_DIR, Config, read_secret
from ops_platform.embedded.postgres import APP_ROLE, DATABASE, Postgres
from ops_platform.embedded.redis import Redis
from ops_platform.embedded.service import Service, python

# `make run` works as root, and Celery's advice against it would stand in every log.
NO_ROOT_WARNING = "ignore:::celery.platforms"
MANAGE = str(BASE_DIR / "manage.py")


def child_environment(config: Config) -> dict[str, str]:
    """What every child is told, so that none has to guess ports or read the secrets folder."""
    return {
        "DJANGO_SETTINGS_MODULE": "ops_platform.settings",
        "PYTHONPATH": str(BASE_DIR),
        "PYTHONUNBUFFERED": "1",
        "OPS_DATA_DIR": str(config.data_dir),
        "OPS_PORT": str(config.ports.web),
        "OPS_SECRET_KEY": config.secret_key,
        "OPS_DATABASE_URL": config.database_url,
        "OPS_REDIS_URL": config.redis_url,
        "OPS_LLM_URL": ",".join(config.llm_urls),
        "OPS_EMBED_URL": ",".join(config.embed_urls),
        "OPS_RERANK_URL": ",".join(config.rerank_urls),
        "OPS_PLANT_URL": config.plant_url,
        "OPS_PLANT_TOKEN": config.plant_token,
        "OPS_DEMO_MODE": str(config.demo_mode).lower(),
        "OPS_LOG_FORMAT": "text",
        # Tokenizers warn about forking; kvserve and the embedder set their own thread counts.
        "TOKENIZERS_PARALLELISM": "false",
    }


def answers(url: str) -> bool:
    """Whether an HTTP end point answers 200 within a second."""
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


def postgres(config: Config) -> Service:
    server = Postgres(config.data_dir, config.ports.postgres)
    return Service(
        name="postgres",
        command=server.command(),
        stage=4,
        ready=server.accepts_connections,
        stop_signal=signal.SIGINT,  # "fast": roll back, disconnect, write out, end
        stop_timeout_s=4.0,
        popen=server.popen_arguments,
    )


def redis(config: Config) -> Service:
    server = Redis(config.data_dir, config.ports.redis)
    return Service("redis", server.command(), stage=3, ready=server.accepts_connections)


def _reranker(config: Config) -> list[str]:
    return ["--reranker", str(config.reranker_folder)] if config.reranker_folder else []


def kvserve(config: Config) -> Service:
    port = config.ports.kvserve
    return Service(
        name="kvserve",
        command=python(MANAGE, "kvserve", "--port", str(port), *_reranker(config)),
        stage=3,
        ready=lambda: answers(f"http://127.0.0.1:{port}/health"),
        stop_timeout_s=2.0,
    )


def web(config: Config, host: str) -> Service:
    port = config.ports.web
    return Service(
        name="web",
        command=python(
            *("-m", "uvicorn", "ops_platform.asgi:application"),
            *("--host", host, "--port", str(port), "--no-access-log", "--lifespan", "off"),
            *("--timeout-graceful-shutdown", "2", "--log-level", "warning"),
            *("--ws-max-size", "65536"),
        ),
        stage=2,
        ready=lambda: answers(f"http://127.0.0.1:{port}/health/live"),
    )


def _celery(name: str, queues: str, *pool: str, stop_signal: int = signal.SIGTERM) -> Service:
    return Service(
        name=name,
        command=python(
            *("-W", NO_ROOT_WARNING, "-m", "celery", "-A", "ops_platform", "--quiet"),
            *("worker", "-n", f"{name}@%h"),
            *("-Q", queues, "--loglevel", "warning", "--without-gossip", "--without-mingle", *pool),
        ),
        stage=2,
        stop_signal=stop_signal,
        stop_timeout_s=2.5,
    )


def worker() -> Service:
    """Short tasks wait on the database, the LLM and the plant: threads suit them."""
    return _celery("worker", "telemetry,agent,actions", "-P", "threads", "-c", "8")


def knowledge() -> Service:
    """Embedding is slow and heavy: a process of its own, so that no alarm waits behind it."""
    return _celery("knowledge", "knowledge", "-P", "prefork", "-c", "1", stop_signal=signal.SIGQUIT)


def beat(config: Config) -> Service:
    schedule = config.data_dir / "celerybeat-schedule"
    return Service(
        name="beat",
        command=python(
            *("-m", "celery", "-A", "ops_platform", "--quiet", "beat"),
            *("-s", str(schedule), "--pidfile", "", "--loglevel", "warning"),
        ),
        stage=1,
        stop_timeout_s=2.0,
    )


def plant(config: Config) -> Service:
    return Service(
        name="plant",
        command=python(
            *(MANAGE, "plant", "--port", str(config.ports.plant)),
            *("--web-url", f"http://127.0.0.1:{config.ports.web}"),
        ),
        stage=1,
        ready=lambda: answers(f"http://127.0.0.1:{config.ports.plant}/health"),
        stop_timeout_s=1.5,
    )


def database_url(config: Config) -> str:
    """The embedded database's address, once its password exists."""
    password = read_secret(config.data_dir, "postgres")
    return f"postgresql://{APP_ROLE}:{password}@127.0.0.1:{config.ports.postgres}/{DATABASE}"


def procedures() -> Path:
    return BASE_DIR / "rag" / "procedures"
