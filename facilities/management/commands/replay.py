"""``manage.py replay CSV --point TAG``: push a recorded series through the REST API."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

BATCH = 500
TICK_S = 0.5
MAX_WAIT_S = 30.0


class Row(NamedTuple):
    """One recorded value: seconds after the first row of the file, and the value."""

    offset_s: float
    value: float


def read_rows(path: Path) -> list[Row]:
    """Read ``timestamp,value`` rows, ordered by time.

    Raises ``CommandError`` that names the line.
    """
    rows: list[tuple[datetime, float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"timestamp", "value"} <= set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                raise CommandError(f"{path}: columns must be timestamp,value; found {found}")
            for row in reader:
                try:
                    at = datetime.fromisoformat((row["timestamp"] or "").strip())
                    value = float(row["value"] or "")
                except ValueError as error:
                    raise CommandError(f"{path}: line {reader.line_num}: {error}") from error
                rows.append((at if at.tzinfo else at.replace(tzinfo=UTC), value))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise CommandError(f"{path} has no rows")
    rows.sort(key=lambda pair: pair[0])
    first = rows[0][0]
    return [Row((at - first).total_seconds(), value) for at, value in rows]


class Command(BaseCommand):
    """Replay a CSV file as if its sensor pushed it now."""

    help = (
        "Push a CSV file (columns timestamp,value) over the REST API, its times moved to start now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file, the point, the speed and where to push."""
        parser.add_argument("csv", type=Path)
        parser.add_argument("--point", required=True, help="tag of the point to write to")
        parser.add_argument(
            "--speed",
            type=float,
            default=1.0,
            help="recorded seconds per second; times are compressed with it (default 1)",
        )
        parser.add_argument("--url", help="base URL of the web process (default: this machine's)")
        parser.add_argument(
            "--token-file", type=Path, help="file with a source token (see create_source)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Push until the file ends or Ctrl-C."""
        speed: float = options["speed"]
        if not 0 < speed <= 1e6:
            raise CommandError(f"--speed {speed:g} must be above 0 and at most 1000000")
        rows = read_rows(options["csv"])
        url = options["url"] or f"http://127.0.0.1:{settings.CONFIG.ports.web}"
        token = _token(options["token_file"])
        seconds = rows[-1].offset_s / speed
        if options["verbosity"]:
            self.stdout.write(
                f"{len(rows)} rows to {options['point']} at {url}, {seconds:.0f} s at ×{speed:g}"
            )
        pusher = Pusher(url.rstrip("/"), token, options["point"])
        try:
            with httpx.Client(timeout=10.0) as client:
                self._run(client, pusher, rows, speed, show=bool(options["verbosity"]))
        except KeyboardInterrupt:
            self.stderr.write("\nstopped")
        if options["verbosity"]:
            self.stdout.write(f"{pusher.accepted} accepted, {pusher.rejected} rejected")
        if pusher.rejected and not pusher.accepted:
            raise CommandError(f"nothing was accepted; first reason: {pusher.first_reason}")

    def _run(
        self, client: httpx.Client, pusher: Pusher, rows: list[Row], speed: float, *, show: bool
    ) -> None:
        start = time.time()
        done = 0
        for batch in due_batches(rows, speed, start):
            pusher.push(
                client, [(start + row.offset_s / speed, row.value) for row in batch], self._say
            )
            done += len(batch)
            if show:
                self.stdout.write(
                    f"\r{done}/{len(rows)} ({done * 100 // len(rows)} %), "
                    f"{pusher.rejected} rejected",
                    ending="" if done < len(rows) else "\n",
                )
                self.stdout.flush()

    def _say(self, text: str) -> None:
        self.stderr.write("\n" + text)


def due_batches(rows: list[Row], speed: float, start: float) -> Iterator[list[Row]]:
    """Yield rows when their moved time has come, at most ``BATCH`` at once."""
    index = 0
    while index < len(rows):
        wait = start + rows[index].offset_s / speed - time.time()
        if wait > 0:
            time.sleep(min(wait, TICK_S))
            continue
        until = time.time() - start
        end = index + 1
        while end < len(rows) and end - index < BATCH and rows[end].offset_s / speed <= until:
            end += 1
        yield rows[index:end]
        index = end


class Pusher:
    """Sends batches and waits out 429 and 503, as a well-behaved source does."""

    def __init__(self, url: str, token: str, point: str) -> None:
        self.url, self.point = f"{url}/api/v1/readings", point
        self.headers = {"Authorization": f"Token {token}"}
        self.accepted = self.rejected = 0
        self.first_reason = ""

    def push(self, client: httpx.Client, batch: list[tuple[float, float]], say: Any) -> None:
        """Send one batch until it is taken. Raises ``CommandError`` on a final refusal."""
        body = {
            "readings": [{"point": self.point, "ts": ts, "value": value} for ts, value in batch]
        }
        wait = 1.0
        while True:
            try:
                response = client.post(self.url, json=body, headers=self.headers)
            except httpx.TransportError as error:
                say(f"{self.url}: {error or type(error).__name__}; trying again in {wait:g} s")
                time.sleep(wait)
                wait = min(wait * 2, MAX_WAIT_S)
                continue
            if response.status_code in (429, 503):
                pause = _retry_after(response)
                say(f"{self.url} answers {response.status_code}; trying again in {pause:g} s")
                time.sleep(pause)
                continue
            break
        if response.status_code != 200:
            raise CommandError(f"{self.url} answers {response.status_code}: {_detail(response)}")
        answer = response.json()
        self.accepted += answer["accepted"]
        self.rejected += len(answer["rejected"])
        if answer["rejected"] and not self.first_reason:
            self.first_reason = answer["rejected"][0]["detail"]
            say(f"rejected: {self.first_reason}")


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("Retry-After", "2")), 0.1), MAX_WAIT_S)
    except ValueError:
        return 2.0


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _token(path: Path | None) -> str:
    if path is None:
        token = os.environ.get("OPS_SOURCE_TOKEN", "").strip()
        if not token:
            raise CommandError(
                "give --token-file FILE (create_source NAME --token-file FILE makes one) "
                "or set OPS_SOURCE_TOKEN"
            )
        return token
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if not token or not token.isascii() or any(c.isspace() for c in token):
        raise CommandError(f"{path} does not hold one token")
    return token
