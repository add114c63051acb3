"""The product's own processes over a fresh data folder: database, Redis, web, worker, beat.

Durability as in production: the embedded PostgreSQL's settings, fsync and synchronous_commit on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_S = 90.0


class Product:
    """Started by ``start``, ended by ``stop``; ``workers`` web processes listen on ``port``."""

    def __init__(self, folder: Path, *, port: int, workers: int) -> None:
        self.folder, self.port, self.workers = folder, port, workers
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start everything; this process's environment then points to it."""
        from ops_platform.config import Ports, read_secret
        from ops_platform.embedded.postgres import APP_ROLE, DATABASE, Postgres
        from ops_platform.embedded.redis import Redis
        from ops_platform.embedded.secrets import ensure_secrets
        from ops_platform.embedded.unprivileged import die_with_parent

        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        ensure_secrets(self.folder)
        ports = Ports(self.port)
        postgres, redis = Postgres(self.folder, ports.postgres), Redis(self.folder, ports.redis)
        postgres.initialise()
        redis.write_configuration()
        self._launch("postgres", postgres.command(), **postgres.popen_arguments())
        self._launch("redis", redis.command(), preexec_fn=die_with_parent(signal.SIGTERM))
        _await(postgres.accepts_connections, "PostgreSQL")
        _await(redis.accepts_connections, "Redis")
        postgres.prepare_database()
        for name in [name for name in os.environ if name.startswith("OPS_")]:
            del os.environ[name]
        os.environ.update(
            DJANGO_SETTINGS_MODULE="ops_platform.settings",
            PYTHONPATH=str(ROOT),
            OPS_DATA_DIR=str(self.folder),
            OPS_PORT=str(self.port),
            OPS_DATABASE_URL=f"postgresql://{APP_ROLE}:{read_secret(self.folder, 'postgres')}"
            f"@127.0.0.1:{ports.postgres}/{DATABASE}",
            OPS_REDIS_URL=f"redis://:{read_secret(self.folder, 'redis')}@127.0.0.1:{ports.redis}/0",
            OPS_SECRET_KEY=read_secret(self.folder, "django-key"),
            OPS_LLM_URL="http://127.0.0.1:9",
            OPS_DEMO_MODE="false",
            OPS_LOG_FORMAT="text",
        )
        self._manage("migrate", "--verbosity", "0")

    def serve(self) -> None:
        """Start worker, beat and web, after the data list was made."""
        from ops_platform.config import load
        from ops_platform.embedded import stack

        config = load(os.environ)
        self._launch("worker", stack.worker().command)
        self._launch("beat", stack.beat(config).command)
        command = stack.web(config, "127.0.0.1").command
        if self.workers > 1:
            command = [*command, "--workers", str(self.workers)]
        self._launch("web", command)
        _await(lambda: _answers(f"{self.url}/health/live"), "web")

    def stop(self) -> None:
        """End what was started, last first."""
        for child in reversed(self.children.values()):
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds that each child with its children has used so far."""
        used = {}
        for name, child in self.children.items():
            try:
                family = [psutil.Process(child.pid)]
                family += family[0].children(recursive=True)
                times = [process.cpu_times() for process in family]
            except psutil.NoSuchProcess:
                continue
            # PostgreSQL's sessions live as long as their clients' pools: few end in between.
            used[name] = sum(time.user + time.system for time in times)
        return used

    def memory_mib(self) -> float:
        """Resident memory of the web processes."""
        web = psutil.Process(self.children["web"].pid)
        family = [web, *web.children(recursive=True)]
        return sum(process.memory_info().rss for process in family) / 2**20

    def last_words(self) -> str:
        """The end of every log, for a run that failed."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in sorted(self.folder.glob("*.log"))
        )

    def _launch(self, name: str, command: list[str], **options: object) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        self.children[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )

    def _manage(self, *arguments: str) -> None:
        subprocess.run([sys.executable, str(ROOT / "manage.py"), *arguments], cwd=ROOT, check=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _await(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not start in {START_S:.0f} s")
        time.sleep(0.1)
