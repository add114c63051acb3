"""pytest plugin: ONE embedded PostgreSQL and Redis per run, the same ones that `up` starts.

Loaded by `-p ops_platform.testing` before Django's settings are read, so that the settings find
the two services' addresses. With OPS_DATABASE_URL and OPS_REDIS_URL set, those are used instead.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from ops_platform.config import Ports, read_secret
from ops_platform.embedded.postgres import APP_ROLE, DATABASE, Postgres
from ops_platform.embedded.redis import Redis
from ops_platform.embedded.secrets import ensure_secrets
from ops_platform.embedded.unprivileged import die_with_parent

_children: list[tuple[subprocess.Popen[bytes], int]] = []


def free_base_port() -> int:
    """A web port whose derived ports are all free at this moment."""
    # Processes that ask at the same time have neighbouring ids: 110 ports keep them apart.
    first = os.getpid() % 90
    for base in (21000 + (first + step) % 90 * 110 for step in range(90)):
        ports = Ports(base)
        if all(
            _is_free(port)
            for port in (ports.web, ports.kvserve, ports.postgres, ports.redis, ports.plant)
        ):
            return base
    raise RuntimeError("no free ports between 21000 and 31000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _await(accepts: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not accepts():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start in 30 s:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _stop(data_dir: Path, owner: int) -> None:
    if os.getpid() != owner:
        return
    for child, signum in reversed(_children):
        if child.poll() is None:
            child.send_signal(signum)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Start the services before pytest-django, which reads the settings in this same hook."""
    _start_services()
    yield


def _keep_apart(number: int) -> None:
    """Give one of several parallel workers its own Redis database and ports.

    The services are the controller's; pytest-django gives each worker its own test database.
    """
    server, _, _database = os.environ["OPS_REDIS_URL"].rpartition("/")
    ports = Ports(free_base_port())
    os.environ.update(
        OPS_REDIS_URL=f"{server}/{number + 1}",
        OPS_PORT=str(ports.web),
        OPS_PLANT_URL=f"http://127.0.0.1:{ports.plant}",
    )


def _start_services() -> None:
    """Start what the environment does not point elsewhere, and export the addresses."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
    os.environ["OPS_LOG_FORMAT"] = "text"
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        _keep_apart(int(worker.removeprefix("gw")))
    if os.environ.get("OPS_DATABASE_URL") and os.environ.get("OPS_REDIS_URL"):
        return
    data_dir = Path(tempfile.mkdtemp(prefix="holdpoint-test-"))
    data_dir.chmod(0o755)
    atexit.register(_stop, data_dir, os.getpid())
    ensure_secrets(data_dir)
    ports = Ports(free_base_port())
    postgres, redis = Postgres(data_dir, ports.postgres), Redis(data_dir, ports.redis)
    postgres.initialise()
    log_path = data_dir / "services.log"
    log = log_path.open("wb")
    _children.append(
        (
            subprocess.Popen(
                # The cluster is thrown away after the run, so only here fsync may be off.
                [*postgres.command(), "-cfsync=off", "-cfull_page_writes=off"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **postgres.popen_arguments(),  # type: ignore[call-overload]
            ),
            signal.SIGINT,
        )
    )
    _children.append(
        (
            subprocess.Popen(
                redis.command(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            ),
            signal.SIGTERM,
        )
    )
    _await(postgres.accepts_connections, "PostgreSQL", log_path)
    _await(redis.accepts_connections, "Redis", log_path)
    postgres.prepare_database(may_create_databases=True)
    os.environ.update(
        OPS_DATA_DIR=str(data_dir),
        OPS_PORT=str(ports.web),
        OPS_DATABASE_URL=f"postgresql://{APP_ROLE}:{read_secret(data_dir, 'postgres')}"
        f"@127.0.0.1:{ports.postgres}/{DATABASE}",
        OPS_REDIS_URL=f"redis://:{read_secret(data_dir, 'redis')}@127.0.0.1:{ports.redis}/0",
        OPS_SECRET_KEY=read_secret(data_dir, "django-key"),
        OPS_ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
        OPS_DEMO_MODE="true",
        OPS_PLANT_URL=f"http://127.0.0.1:{ports.plant}",
    )
