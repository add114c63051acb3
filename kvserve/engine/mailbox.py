"""How other threads reach the engine's."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from kvserve.errors import NotReady

T = TypeVar("T")
CLOSED = "the engine has stopped"


class Mailbox:
    """Commands from any thread, to be run one after the other by one, until it closes the box.

    `put` is safe in a signal handler: the lock may be taken again by the thread that has it.
    """

    def __init__(self) -> None:
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.RLock()
        self._is_closed = False

    def __len__(self) -> int:
        return self._commands.qsize()

    def put(self, command: Callable[[], None]) -> bool:
        """Leave a command; False if the box is closed, and nobody will run it."""
        with self._lock:
            if not self._is_closed:
                self._commands.put(command)
            return not self._is_closed

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Leave a command whose result, or exception, somebody waits for.

        Raises:
            NotReady: the box is closed.
        """
        answer: Future[T] = Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(question())
            except Exception as error:
                answer.set_exception(error)

        if not self.put(run):
            raise NotReady(CLOSED)
        return answer

    def wait(self, timeout_s: float | None = None) -> Callable[[], None] | None:
        """The next command, not run; None if none came in time."""
        try:
            return self._commands.get(timeout=timeout_s)
        except Empty:
            return None

    def drain(self) -> None:
        """Run what is there."""
        while True:
            try:
                command = self._commands.get_nowait()
            except Empty:
                return
            command()

    def close(self) -> None:
        """Run what is there, and take no more."""
        with self._lock:
            self._is_closed = True
        self.drain()
