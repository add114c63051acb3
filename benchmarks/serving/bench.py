"""The running benchmark: its servers, who of them still lives, and every entry so far."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.serving import client, report
from benchmarks.serving.client import Replies
from benchmarks.serving.figures import Entry
from benchmarks.serving.loads import Load, warm_up
from benchmarks.serving.measure import measure, run
from benchmarks.serving.peers import Settings, cpu_seconds, without_omp_settings
from kvserve.testing import ServerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
PART_S = 1200.0

Making = Callable[[ServerProcess], Callable[[], Coroutine[Any, Any, Replies]]]


class Bench:
    """Servers run in turn; what goes wrong with one is written down and the others go on."""

    def __init__(self, options: argparse.Namespace, settings: Settings) -> None:
        self.options = options
        self.settings = settings
        self.stack = ExitStack()
        self.servers: dict[str, ServerProcess] = {}
        self.dead: dict[str, str] = {}
        self.absent: dict[str, str] = {}  # peer -> why it is left out
        self.entries: list[Entry] = []
        self.about: dict[str, Any] = {}
        self.roofline: dict[str, Any] = {}

    def start(self, server: ServerProcess) -> None:
        """Start a server for the whole run and warm it up; one that fails is left out."""
        try:
            self.stack.enter_context(server)
            run(client.closed_loop(server.url, warm_up(server.name)))
        except (RuntimeError, OSError) as error:
            self.leave_out(server.name, str(error))
            return
        self.servers[server.name] = server
        say(f"{server.name} is ready on {server.url}")

    def leave_out(self, name: str, why: str) -> None:
        """Say loudly that a peer is missing."""
        self.absent[name] = why
        say(f"*** {name} IS LEFT OUT: {why}")

    def turn(self, number: int, *names: str) -> list[ServerProcess]:
        """These servers, as far as they run, each round in another order."""
        there = [self.servers[name] for name in names if name in self.servers]
        first = number % len(there) if there else 0
        return there[first:] + there[:first]

    def closed(self, row: str, number: int, server: ServerProcess, load: Load) -> Entry:
        """Measure a load of so many at a time."""
        return self.measured(row, number, server, lambda: client.closed_loop(server.url, load))

    def measured(
        self,
        row: str,
        number: int,
        server: ServerProcess,
        load: Callable[[], Coroutine[Any, Any, Replies]],
        *,
        name: str = "",
    ) -> Entry:
        """Run a load, keep its entry and print a line; `name` tells a row's loads apart."""
        entry: Entry = {"round": number, "row": row, "server": server.name, "load": name}
        if server.name in self.dead:
            entry["crashed"] = self.dead[server.name]
            self.entries.append(entry)
            return entry
        entry.update(measure(load, lambda: cpu_seconds(server)))
        self.entries.append(entry)
        try:
            server.require_alive()
        except RuntimeError as error:
            self.dead[server.name] = entry["crashed"] = str(error).splitlines()[0].rstrip(":")
            say(f"*** {error}")
        say(describe(entry))
        return entry

    def part(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run a module of this package in a process of its own and return the JSON it prints.

        Raises:
            RuntimeError: it failed; with the end of what it said.
        """
        command = [sys.executable, "-m", f"benchmarks.serving.{module}"]
        command += ["--model", str(self.settings.model), "--threads", str(self.settings.threads)]
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=ROOT,
                env=without_omp_settings(),
                capture_output=True,
                text=True,
                timeout=PART_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{module} did not end within {PART_S:.0f} s") from error
        if done.returncode:
            raise RuntimeError(
                f"{module} ended with code {done.returncode}:\n{done.stderr.strip()[-800:]}"
            )
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def save(self, **more: Any) -> None:
        """Write what is measured so far."""
        report.save(
            self.options.output,
            {
                "about": self.about,
                "left_out": self.absent,
                "crashed": self.dead,
                **more,
                "roofline": self.roofline,
                "medians": report.medians(self.entries),
                "entries": self.entries,
            },
        )


def describe(entry: Entry) -> str:
    """One line about one measurement."""
    rate = f"{entry['tokens_per_s']:6.1f} tok/s"
    parts = [f"{entry['round']} {entry['row']:>8} {entry['server']:>16}: {rate}"]
    if entry["ttft_p50_s"] is not None:
        parts.append(f"TTFT p50 {entry['ttft_p50_s']:.2f} s")
    if "goodput_share" in entry:
        parts.append(f"goodput {entry['goodput_share']:.0%}")
    if entry["failed"]:
        parts.append(f"{entry['failed']} FAILED ({'; '.join(entry['errors'])})")
    parts.append(f"others use {entry['others_cores']:.1f} cores")
    return ", ".join(parts)


def say(text: str) -> None:
    print(text, flush=True)
