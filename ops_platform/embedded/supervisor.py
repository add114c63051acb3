"""`up`: bring the stack up in order, keep it up, take it down in order."""

import asyncio
import itertools
import json
import os
import signal
import time

from django.core.exceptions import ImproperlyConfigured

from ops_platform.config import Config, load
from ops_platform.embedded import leftovers, stack
from ops_platform.embedded.console import Console
from ops_platform.embedded.postgres import Postgres
from ops_platform.embedded.redis import Redis
from ops_platform.embedded.secrets import ensure_secrets
from ops_platform.embedded.service import Child, Service, python

FIRST_LOGINS = "first-logins.json"


class StartFailed(Exception):
    """The stack cannot come up; the text says what to do. What was stored stays."""


class Supervisor:
    """One stack over one data folder."""

    def __init__(self, *, config: Config, host: str, with_plant: bool, quiet: bool) -> None:
        self.config = config
        self.host = host
        self.with_plant = with_plant
        self.console = Console(config.data_dir / "logs")
        self.console.quiet = quiet
        self.children: list[Child] = []
        self._stop = asyncio.Event()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Start everything, wait for SIGINT or SIGTERM, stop everything."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._asked_to_stop)
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        watching = asyncio.create_task(self._record_children())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            starting.cancel()
            watching.cancel()
            await self._shut_down()

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():  # the second Ctrl-C: no more patience
            for child in self.children:
                child.kill()
            os._exit(130)
        self._stop.set()

    async def _start(self) -> None:
        config = self.config
        ensure_secrets(config.data_dir)
        # Read again: the addresses of the embedded services hold the secrets made just now.
        self.config = config = load({**os.environ, "OPS_PORT": str(config.ports.web)})
        for name in await asyncio.to_thread(leftovers.end_leftovers, config.data_dir):
            self.console.say(f"ended {name}, left over from a start that crashed")
        await asyncio.to_thread(leftovers.check_ports, self._needed_ports(), host=self.host)
        os.environ.update(stack.child_environment(config))
        if config.embedded_llm:
            self._launch(stack.kvserve(config))  # loads its model while the database starts
        await asyncio.gather(self._start_database(), self._start_redis())
        self.console.say("preparing the database (migrations, roles, demo facility)")
        await self._run_command("prepare", "--static", *(["--demo"] if config.demo_mode else []))
        web = self._launch(stack.web(config, self.host))
        for service in (stack.worker(), stack.knowledge(), stack.beat(config)):
            self._launch(service)
        await web.until_ready(60)
        first = (config.data_dir / "secrets" / FIRST_LOGINS).exists()
        if self.with_plant and config.demo_mode:
            self._launch(stack.plant(config))
        if first:
            await self._import_procedures("--wait")  # the agent needs them for its first alarm
        self._announce()
        if config.demo_mode and not first:
            await self._import_procedures()  # picks up edited ones; the pages are there already
        if config.embedded_llm:
            await self._await_engine()

    async def _import_procedures(self, *options: str) -> None:
        folder = str(stack.procedures())
        await self._run_command("import_documents", folder, "--collection", "procedures", *options)

    def _needed_ports(self) -> dict[str, int]:
        ports, config = self.config.ports, self.config
        needed = {
            "web": (True, ports.web),
            "kvserve": (config.embedded_llm, ports.kvserve),
            "postgres": (config.embedded_database, ports.postgres),
            "redis": (config.embedded_redis, ports.redis),
            "plant": (config.demo_mode and self.with_plant, ports.plant),
        }
        return {name: port for name, (wanted, port) in needed.items() if wanted}

    def _launch(self, service: Service) -> Child:
        child = Child(service, self.console)
        self.children.append(child)
        child.start()
        return child

    async def _start_database(self) -> None:
        config = self.config
        if not config.embedded_database:
            return
        server = Postgres(config.data_dir, config.ports.postgres)
        if not server.folder.exists():
            self.console.say("creating the database cluster (first start only)")
        await asyncio.to_thread(server.initialise)
        await self._launch(stack.postgres(config)).until_ready(60)
        await asyncio.to_thread(server.prepare_database)

    async def _start_redis(self) -> None:
        config = self.config
        if config.embedded_redis:
            Redis(config.data_dir, config.ports.redis).write_configuration()
            await self._launch(stack.redis(config)).until_ready(30)

    async def _run_command(self, *arguments: str) -> None:
        """Run one manage.py command to its end; its output is shown as it comes."""
        process = await asyncio.create_subprocess_exec(
            *python(stack.MANAGE, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 - asked for a pipe above
        try:
            await self.console.follow(arguments[0], process.stdout)
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            raise
        if code != 0:
            raise StartFailed(
                f"`manage.py {' '.join(arguments)}` failed (exit code {code}); the reason stands "
                f"above and in {self.console.log_path(arguments[0])}. Nothing was deleted."
            )

    async def _await_engine(self) -> None:
        child = next(child for child in self.children if child.service.name == "kvserve")
        await child.until_ready(600)
        self.console.say("kvserve has loaded its model: chat and agent are ready")

    def _announce(self) -> None:
        config = self.config
        shown = "localhost" if self.host in {"127.0.0.1", "0.0.0.0"} else self.host  # noqa: S104
        lines = [
            f"Holdpoint is up after {time.monotonic() - self._began:.1f} s",
            "",
            f"  Open       http://{shown}:{config.ports.web}/",
        ]
        logins = config.data_dir / "secrets" / FIRST_LOGINS
        if logins.exists():
            for name, password in json.loads(logins.read_text()).items():
                lines.append(f"  Log in     {name:<13} {password}")
            lines.append("             (shown this once; new ones: see the next line)")
            logins.unlink()
        lines += [
            "  Password   .venv/bin/python manage.py create_operator operator --role operator --reset",
            f"  Logs       {self.console.folder}",
            f"  API        http://{shown}:{config.ports.web}/api/docs/",
            "  Stop       Ctrl-C",
        ]
        width = max(len(line) for line in lines) + 2
        rule = "─" * width
        self.console.show(f"\n{rule}\n" + "\n".join(lines) + f"\n{rule}\n")

    async def _record_children(self) -> None:
        """Keep runtime.json true, so that the next start can end what a crash leaves."""
        known: dict[str, int] | None = None
        while True:
            running = {
                child.service.name: child.process.pid
                for child in self.children
                if child.process is not None and child.process.returncode is None
            }
            if running != known:
                known = running
                leftovers.write_runtime(
                    self.config.data_dir, port=self.config.ports.web, children=running
                )
            await asyncio.sleep(0.2)

    async def _shut_down(self) -> None:
        if self.children:
            self.console.say("stopping")
        ordered = sorted(self.children, key=lambda child: child.service.stage)
        for _stage, group in itertools.groupby(ordered, key=lambda child: child.service.stage):
            await asyncio.gather(*(child.stop() for child in group))
        if self.children:
            self.console.say("stopped; all data is kept")


def up(*, port: int | None, host: str, with_plant: bool, quiet: bool) -> None:
    """Run a stack until it is told to stop. Raises StartFailed, PortTaken or AlreadyRunning."""
    environment = dict(os.environ)
    if port is not None:
        environment["OPS_PORT"] = str(port)
    config = load(environment)
    if not 1024 <= config.ports.web <= 65_535 - 103:
        raise StartFailed(
            f"Port {config.ports.web} is outside 1024…65432 (ports +100…+103 are used)."
        )
    held = leftovers.lock(config.data_dir)
    try:
        supervisor = Supervisor(config=config, host=host, with_plant=with_plant, quiet=quiet)
        asyncio.run(supervisor.run())
    except (TimeoutError, OSError, RuntimeError, ImproperlyConfigured) as error:
        raise StartFailed(str(error)) from error
    finally:
        held.close()
