"""Sentence embeddings on CPU, in a thread of their own (`encoder.py` computes them).

Loaded in the background after start: the first time, the import of torch takes about 5 s.
"""

import logging
import os
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from kvserve.engine.state import LoadState
from kvserve.errors import NotReady

log = logging.getLogger("kvserve")

MICRO_BATCH = 32  # texts per forward pass


class Embeddings(NamedTuple):
    """`vectors` is float32 of shape (texts, dimensions), unit length; tokens are those read."""

    vectors: Any
    num_tokens: int


@dataclass(eq=False)
class _Job:
    texts: list[str]
    future: "Future[Embeddings]" = field(default_factory=Future)
    parts: list[Any] = field(default_factory=list)
    done: int = 0
    num_tokens: int = 0


class Embedder:
    """Loads a sentence-transformers folder and embeds texts in micro-batches.

    Jobs share each micro-batch fairly, so one search query does not wait behind a bulk import.
    Texts are cut at the model's limit (256 word pieces for all-MiniLM-L6-v2).
    """

    def __init__(self, folder: Path, *, model_name: str, graphs: Path | None = None) -> None:
        """`graphs` is where the model's exported graph is kept; None: it is run by PyTorch."""
        self.folder = folder
        self.graphs = graphs
        self.model_name = model_name
        self.state = LoadState.LOADING
        self.error = ""
        self.dimensions = 0
        self._inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kvserve-embedder", daemon=True)

    def start(self) -> None:
        """Load in the background; texts given meanwhile wait."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its current micro-batch. Safe in a signal handler."""
        self._inbox.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def embed(self, texts: list[str]) -> "Future[Embeddings]":
        """Queue texts, from any thread; cancel the future to give up.

        Raises:
            NotReady: the model failed to load.
        """
        if self.state in (LoadState.FAILED, LoadState.STOPPED):
            reason = f": {self.error}" if self.error else ""
            raise NotReady(f"the embedder {self.model_name} is {self.state.value}{reason}")
        job = _Job(texts)
        self._inbox.put(job)
        return job.future

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:
            self.state, self.error = LoadState.FAILED, str(error)
            log.exception("the embedder %s cannot be loaded", self.model_name)
            self._refuse_rest(deque())
            return
        jobs: deque[_Job] = deque()
        while self._take(jobs):
            try:
                self._micro_batch(jobs)
            except Exception as error:
                log.exception("a micro-batch of the embedder failed")
                _fail(jobs, error)
        self.state = LoadState.STOPPED
        self._refuse_rest(jobs)

    def _load(self) -> None:
        started = time.monotonic()
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from kvserve.encoder import open_encoder

        self.encoder = open_encoder(self.folder, graphs=self.graphs)
        self.dimensions = self.encoder.dimensions
        self.state = LoadState.READY
        log.info("embedder %s is ready after %.1f s", self.model_name, time.monotonic() - started)

    def _take(self, jobs: deque[_Job]) -> bool:
        """Collect what is waiting; block when idle. False once asked to stop."""
        try:
            while True:
                job = self._inbox.get(block=not jobs)
                if job is None:
                    return False
                jobs.append(job)
        except Empty:
            return True

    def _micro_batch(self, jobs: deque[_Job]) -> None:
        """One forward pass over a fair share of every job's next texts."""
        for job in [job for job in jobs if job.future.cancelled()]:
            jobs.remove(job)
        if not jobs:
            return
        share = max(1, MICRO_BATCH // len(jobs))
        picked = [(job, job.texts[job.done : job.done + share]) for job in list(jobs)[:MICRO_BATCH]]
        texts = [text for _, part in picked for text in part]
        counts = self.encoder.counts(texts)
        vectors = self.encoder.encode(texts)
        at = 0
        for job, part in picked:
            job.parts.append(vectors[at : at + len(part)])
            job.num_tokens += sum(counts[at : at + len(part)])
            job.done += len(part)
            at += len(part)
            if job.done == len(job.texts):
                jobs.remove(job)
                _finish(job)
        jobs.rotate(-len(picked))

    def _refuse_rest(self, jobs: deque[_Job]) -> None:
        while not self._inbox.empty():
            if (job := self._inbox.get()) is not None:
                jobs.append(job)
        _fail(
            jobs, NotReady(f"the embedder is {self.state.value}: {self.error or 'shutting down'}")
        )


def _finish(job: _Job) -> None:
    import numpy as np

    _settle(job, Embeddings(np.concatenate(job.parts), job.num_tokens))


def _fail(jobs: deque[_Job], error: Exception) -> None:
    for job in jobs:
        _settle(job, error)
    jobs.clear()


def _settle(job: _Job, outcome: Embeddings | Exception) -> None:
    try:
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
    except InvalidStateError:  # cancelled meanwhile
        pass
