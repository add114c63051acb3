"""The plant's process: one clock, one HTTP server thread, one delivery thread."""

import errno
import logging
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from facilities.demo.plant.outbox import Outbox
from facilities.demo.plant.points import read_facility
from facilities.demo.plant.runtime import Runtime
from facilities.demo.plant.server import build_app

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
TICK_S = 1.0
PUSH_EVERY_TICKS = 2
LATE_S = 5.0


class PortBusyError(Exception):
    """The plant's port is taken."""


@dataclass(frozen=True)
class Options:
    """Where the plant listens, whom it tells, and where it keeps its files."""

    port: int
    token: str
    web_url: str
    data_dir: Path
    source_token_file: Path


def bind(port: int) -> socket.socket:
    """Bind the plant's port; raises PortBusyError naming it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusyError(
                f"port {port} on {HOST} is in use: is a plant running already? "
                "Choose another with --port."
            ) from error
        raise
    return listener


def run(options: Options) -> None:
    """Run until SIGINT or SIGTERM; raises PortBusyError."""
    listener = bind(options.port)
    runtime = Runtime(read_facility(), data_dir=options.data_dir)
    outbox = Outbox(
        runtime.sensors.tags,
        web_url=options.web_url,
        read_token=lambda: options.source_token_file.read_text().strip(),
        acked_log=options.data_dir / "acked.log",
    )
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(runtime, outbox=outbox, token=options.token),
            log_config=None,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    serving = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    serving.start()
    outbox.start()
    logger.info(
        "plant on http://%s:%d, %d points to %s every %g s",
        HOST,
        options.port,
        len(runtime.sensors.tags),
        options.web_url,
        TICK_S * PUSH_EVERY_TICKS,
    )
    _tick(runtime, outbox, stop)
    server.should_exit = True
    serving.join(timeout=2.0)
    outbox.stop()
    logger.info("plant stopped")


def _tick(runtime: Runtime, outbox: Outbox, stop: threading.Event) -> None:
    due = time.monotonic()
    ticks = 0
    while not stop.is_set():
        runtime.step(TICK_S)
        if ticks % PUSH_EVERY_TICKS == 0:
            outbox.put(runtime.batch())
        ticks += 1
        due += TICK_S
        late = time.monotonic() - due
        if late > LATE_S:
            # A suspended machine: go on from now instead of rushing through the lost time.
            logger.warning("the clock jumped by %.0f s; the simulation goes on from now", late)
            due = time.monotonic()
        stop.wait(max(0.0, due - time.monotonic()))
