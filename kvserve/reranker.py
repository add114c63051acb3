"""A cross-encoder on CPU: how well each text answers a query, in a thread of its own."""

import logging
import math
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from kvserve.errors import NotReady

log = logging.getLogger("kvserve")

MICRO_BATCH = 16  # pairs per forward pass


class Reranked(NamedTuple):
    """`scores` in the order of the texts, 0…1 for a model with one label; `num_tokens` read."""

    scores: list[float]
    num_tokens: int


class Reranker:
    """Loads a folder that sentence-transformers' CrossEncoder saved, and scores pairs.

    Requests are scored one after another. Query and text together are cut at the model's limit.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model_name = folder.name
        self.error = ""
        self._model: Any = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kvserve-reranker")

    def start(self) -> None:
        """Load in the background; requests given meanwhile wait."""
        self._worker.submit(self._load)

    def stop(self) -> None:
        """Take no more requests; what runs is left to end by itself."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def score(self, query: str, texts: list[str]) -> "Future[Reranked]":
        """Queue a request, from any thread; NotReady comes through the future."""
        try:
            return self._worker.submit(self._score, query, texts)
        except RuntimeError as error:
            raise NotReady(f"the reranker {self.model_name} is shutting down") from error

    def _load(self) -> None:
        started = time.monotonic()
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            from sentence_transformers import CrossEncoder

            self._model = CrossEncoder(str(self.folder), device="cpu", local_files_only=True)
        except Exception as error:
            self.error = f"the reranker in {self.folder} cannot be loaded: {error}"
            log.exception("the reranker %s cannot be loaded", self.model_name)
            return
        log.info("reranker %s is ready after %.1f s", self.model_name, time.monotonic() - started)

    def _score(self, query: str, texts: list[str]) -> Reranked:
        if self._model is None:
            raise NotReady(self.error or f"the reranker {self.model_name} was not started")
        pairs = [(query, text) for text in texts]
        scores = [
            float(score)
            for score in self._model.predict(
                pairs, batch_size=MICRO_BATCH, show_progress_bar=False, convert_to_numpy=True
            )
        ]
        if not all(math.isfinite(score) for score in scores):
            raise ValueError(f"the reranker {self.model_name} gave a score that is no number")
        read = self._model.tokenizer(
            [query] * len(texts), texts, truncation=True, max_length=self._model.max_seq_length
        )
        return Reranked(scores, sum(len(ids) for ids in read["input_ids"]))
