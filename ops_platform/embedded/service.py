"""One child process of `up`: started, watched, restarted with growing pauses, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ops_platform.embedded.console import Console
from ops_platform.embedded.unprivileged import die_with_parent

FIRST_PAUSE_S = 0.5
LAST_WAIT_S = 5.0
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 30.0


@dataclass(frozen=True)
class Service:
    """What to run. `stage` orders the shutdown: lower stages stop first."""

    name: str
    command: list[str]
    stage: int
    env: dict[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 3.0
    popen: Callable[[], dict[str, object]] = lambda: {"preexec_fn": die_with_parent(signal.SIGTERM)}


class Child:
    """A running `Service`; `run` returns only after `stop`."""

    def __init__(self, service: Service, console: Console) -> None:
        self.service = service
        self.console = console
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.service.name)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            began = time.monotonic()
            ended = await self._run_once()
            if self._stopping:
                return
            if time.monotonic() - began > STEADY_AFTER_S:
                pause = FIRST_PAUSE_S
            self.restarts += 1
            self.console.say(
                f"{self.service.name} ended ({ended}); starting it again in {pause:g} s"
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _run_once(self) -> str:
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self.service.command,
                env={**os.environ, **self.service.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches `up` alone, which stops them in order
                **self.service.popen(),  # type: ignore[arg-type]
            )
        except OSError as error:
            return f"could not start: {error}"
        assert self.process.stdout is not None  # noqa: S101 - asked for a pipe above
        await self.console.follow(self.service.name, self.process.stdout)
        code = await self.process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def until_ready(self, timeout_s: float) -> None:
        """Wait for the service's own test; raises TimeoutError naming it and its log."""
        if self.service.ready is None:
            return
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(self.service.ready):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.service.name} was not ready after {timeout_s:.0f} s; "
                    f"its log is {self.console.log_path(self.service.name)}"
                )
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Ask, wait, then kill the whole process group; no child outlives this."""
        self._stopping = True
        process = self.process
        if process is not None and process.returncode is None:
            process.send_signal(self.service.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.service.stop_timeout_s)
            except TimeoutError:
                self.console.say(f"{self.service.name} did not stop in time; killing it")
        if process is not None:
            self.kill()
        if self._task is not None:
            self._task.cancel()
            # A child that is just being started is ended by this task; bounded, as it must end too.
            await asyncio.wait({self._task}, timeout=LAST_WAIT_S)

    def kill(self) -> None:
        """SIGKILL what is left of the child's process group."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def python(*arguments: str) -> list[str]:
    """A command line for this very interpreter, unbuffered."""
    return [sys.executable, "-u", *arguments]
