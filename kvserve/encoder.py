"""Turns texts into vectors: a sentence-transformers model by PyTorch, or its graph by ONNX Runtime.

Both give the same vectors. ONNX Runtime takes a third of the time for one short text (3.6 ms against
12.6, one core) and needs no import of torch (5 s), so a model's graph is exported once and kept.
"""

import hashlib
import json
import logging
import os
import warnings
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

log = logging.getLogger("kvserve")

# Up to here one core is as quick as all of them (7 ms against 5 on an idle machine), and does not
# stall when another process holds one: with two, 5 to 300 ms were measured beside a busy core.
ONE_CORE_TOKENS = 64
# Vectors of the graph and of the model may differ by this (float32 sums in another order).
TOLERANCE = 1e-4
OPSET = 17
PROBES = (
    "What do I do when CRAC 2 fails?",
    "°C, µs, XID 79; naïve — 冷却水",
    "Close the valve. " * 200,
    "a",
)


class Encoder(ABC):
    """Unit vectors of texts. ``dimensions`` is their length, ``limit`` the tokens that are read."""

    dimensions: int
    limit: int

    @abstractmethod
    def counts(self, texts: list[str]) -> list[int]:
        """Tokens read of each text."""

    @abstractmethod
    def encode(self, texts: list[str]) -> Any:
        """float32 of shape (len(texts), dimensions), each of unit length."""


class TorchEncoder(Encoder):
    """Any folder that sentence-transformers saved."""

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
        import torch

        self._cores = torch.get_num_threads()
        self.model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.limit = int(self.model.max_seq_length or 512)
        self.dimensions = len(self.model.encode("warm up", show_progress_bar=False))

    def counts(self, texts: list[str]) -> list[int]:
        read = self.model.tokenizer(texts, truncation=True, max_length=self.limit)
        return [len(ids) for ids in read["input_ids"]]

    def encode(self, texts: list[str]) -> Any:
        import torch

        wanted = 1 if sum(self.counts(texts)) <= ONE_CORE_TOKENS else self._cores
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)
        return self.model.encode(
            texts, batch_size=len(texts), show_progress_bar=False, normalize_embeddings=True
        )


class OnnxEncoder(Encoder):
    """A BERT-like graph with mean pooling. One text a run: padding costs more than it saves."""

    def __init__(self, folder: Path, graph: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.limit = int(_json(folder / "sentence_bert_config.json")["max_seq_length"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.limit)
        self._several = ThreadPoolExecutor(
            max_workers=os.cpu_count() or 1, thread_name_prefix="kvserve-encoder"
        )
        self.dimensions = len(self.encode(["warm up"])[0])

    def counts(self, texts: list[str]) -> list[int]:
        return [len(read.ids) for read in self._tokenizer.encode_batch(texts)]

    def encode(self, texts: list[str]) -> Any:
        import numpy as np

        read = self._tokenizer.encode_batch(texts)
        rows = map(self._one, read) if len(read) == 1 else self._several.map(self._one, read)
        return np.stack(list(rows))

    def _one(self, read: Any) -> Any:
        import numpy as np

        tokens = self._session.run(
            None,
            {
                name: np.array([values], dtype=np.int64)
                for name, values in (
                    ("input_ids", read.ids),
                    ("attention_mask", read.attention_mask),
                    ("token_type_ids", read.type_ids),
                )
            },
        )[0][0]
        vector = tokens.mean(axis=0)
        return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)


def open_encoder(folder: Path, *, graphs: Path | None) -> Encoder:
    """The model of `folder`, by its exported graph where `graphs` (a folder) is given.

    A model that cannot be exported, or whose graph gives other vectors, is run by PyTorch.
    """
    if graphs is None or not _exportable(folder):
        return TorchEncoder(folder)
    graph = graphs / f"{_digest(folder)}.onnx"
    if graph.is_file():
        try:
            return OnnxEncoder(folder, graph)
        except Exception as error:  # a damaged file: made again below
            log.warning("the graph %s cannot be read and is made again: %s", graph.name, error)
    torch_encoder = TorchEncoder(folder)
    try:
        return _exported(torch_encoder, folder, graph)
    except Exception as error:
        graph.unlink(missing_ok=True)
        log.warning("%s stays with PyTorch, its graph cannot be used: %s", folder.name, error)
        return torch_encoder


def _exported(model: TorchEncoder, folder: Path, graph: Path) -> OnnxEncoder:
    """Export, then compare; raises ValueError for a graph that gives other vectors."""
    import numpy as np

    graph.parent.mkdir(parents=True, exist_ok=True)
    unfinished = graph.with_suffix(f".{os.getpid()}.part")
    try:
        _export(model, unfinished)
        encoder = OnnxEncoder(folder, unfinished)
        wanted, given = model.encode(list(PROBES)), encoder.encode(list(PROBES))
        difference = float(np.abs(wanted - given).max())
        if difference > TOLERANCE:
            raise ValueError(f"vectors differ by {difference:.2g} where {TOLERANCE:g} is allowed")
        unfinished.replace(graph)
    finally:
        unfinished.unlink(missing_ok=True)
    return encoder


def _export(model: TorchEncoder, path: Path) -> None:
    import torch

    class LastHidden(torch.nn.Module):
        def __init__(self, bert: Any) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.bert(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )[0]

    names = ["input_ids", "attention_mask", "token_type_ids"]
    bert: Any = model.model[0].auto_model
    example = model.model.tokenizer(["two texts", "of other length"], padding=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: what was exported is compared afterwards
        torch.onnx.export(
            LastHidden(bert.eval()),
            tuple(torch.tensor(example[name]) for name in names),
            str(path),
            input_names=names,
            output_names=["tokens"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*names, "tokens")},
            opset_version=OPSET,
            dynamo=False,
        )


def _exportable(folder: Path) -> bool:
    """Whether it is a BERT with mean pooling, which is what OnnxEncoder computes."""
    try:
        types = [
            str(module["type"]).rpartition(".")[2] for module in _json(folder / "modules.json")
        ]
        pooling = _json(folder / "1_Pooling" / "config.json")
        is_bert = _json(folder / "config.json")["model_type"] == "bert"
    except (OSError, ValueError, KeyError, TypeError):
        return False
    modes = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on]
    return (
        is_bert
        and types in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and modes == ["pooling_mode_mean_tokens"]
        and (folder / "tokenizer.json").is_file()
        and (folder / "sentence_bert_config.json").is_file()
    )


def _digest(folder: Path) -> str:
    """Of the weights and of what reads the text, so that another model is another graph."""
    found = hashlib.sha256(f"opset {OPSET}".encode())
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        if (path := folder / name).is_file():
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:32]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
