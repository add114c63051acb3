"""A LoRA adapter's GGUF, checked before llama.cpp sees it.

llama.cpp checks names and outer shapes with an error, but aborts the process on values of an
unexpected type and on shapes that only its graph notices; all that is refused here.
"""

import re
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from kvserve.errors import ModelUnavailable, RequestRefused
from kvserve.weights.gguf_header import GgufHeader, TensorInfo, read_header

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}")
# enum ggml_type: bytes of a block, values in it
TYPES = {0: (4, 1), 1: (2, 1), 30: (2, 1), 8: (34, 32)}  # F32, F16, BF16, Q8_0
ALPHA, ALORA = "adapter.lora.alpha", "adapter.alora.invocation_tokens"
FLOAT32 = 6


class LoraModule(NamedTuple):
    """An adapter to be loaded: vLLM's name=path."""

    name: str
    path: Path


class AdapterFile(NamedTuple):
    """A checked file. `digest` is of its content; `bytes` what its tensors take in memory."""

    name: str
    path: Path
    digest: str
    rank: int
    bytes: int

    @property
    def key(self) -> str:
        """Names the adapter and its content: KV computed under one key is never used by another."""
        return f"{self.name}@{self.digest}"


class AdapterRefused(RequestRefused):
    """The file is no adapter that this model can use (HTTP 400)."""


def check_name(name: str) -> None:
    """Raise RequestRefused unless `name` can name an adapter."""
    if not NAME.fullmatch(name):
        raise RequestRefused(
            f"lora_name {name!r}: use letters, digits and . _ / : - (at most 128)",
            param="lora_name",
        )


def read_adapter(module: LoraModule, *, num_experts: int = 0) -> AdapterFile:
    """Check the file and hash it, about a second per GB.

    Raises:
        AdapterRefused: unreadable, no LoRA adapter, or malformed; says what.
    """
    name, path = module
    check_name(name)
    try:
        header = read_header(path)
        digest = blake2b(digest_size=16)
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except (ModelUnavailable, OSError) as error:
        raise _refused(name, str(error)) from error
    _check_kind(name, header)
    size, rank = _check_tensors(name, header, path.stat().st_size, num_experts)
    return AdapterFile(name, path, digest.hexdigest(), rank, size)


def _refused(name: str, why: str) -> AdapterRefused:
    return AdapterRefused(f"the LoRA adapter '{name}' cannot be loaded: {why}", param="lora_path")


def _check_kind(name: str, header: GgufHeader) -> None:
    facts = header.metadata
    for key, wanted in (("general.type", "adapter"), ("adapter.type", "lora")):
        if facts.get(key) != wanted:
            raise _refused(
                name,
                f"its {key} is {facts.get(key, 'missing')!r}, not '{wanted}'; convert a PEFT adapter"
                " with llama.cpp's convert_lora_to_gguf.py",
            )
    if not isinstance(facts.get("general.architecture"), str):
        raise _refused(name, "it names no general.architecture")
    if ALPHA in facts and not isinstance(facts[ALPHA], float):
        raise _refused(name, f"{ALPHA} is no float")
    if ALORA in facts:
        raise _refused(name, "it is an activated LoRA (aLoRA), which kvserve does not serve")


def _check_tensors(
    name: str, header: GgufHeader, file_size: int, num_experts: int
) -> tuple[int, int]:
    """Sum of bytes and largest rank of all pairs."""
    halves: dict[str, dict[str, TensorInfo]] = {}
    total = 0
    for tensor in header.tensors:
        if tensor.name.endswith("_norm.weight"):
            continue  # llama.cpp ignores them
        base, _, half = tensor.name.rpartition(".lora_")
        if half not in ("a", "b") or not base:
            raise _refused(name, f"the tensor '{tensor.name}' is no half of a LoRA pair")
        size = _size(name, tensor)
        if header.data_start + tensor.offset + size > file_size:
            raise _refused(name, f"the data of '{tensor.name}' ends after the file: it is cut off")
        total += size
        halves.setdefault(base, {})[half] = tensor
    if not halves:
        raise _refused(name, "it has no tensors")
    rank = max(_rank(name, base, pair, num_experts) for base, pair in halves.items())
    return total, rank


def _size(name: str, tensor: TensorInfo) -> int:
    if tensor.type not in TYPES:
        raise _refused(name, f"'{tensor.name}' is of type {tensor.type}; F32, F16, BF16 or Q8_0 do")
    num_bytes, num_values = TYPES[tensor.type]
    if 0 in tensor.shape or tensor.shape[0] % num_values:
        raise _refused(name, f"'{tensor.name}' has the shape {tensor.shape}")
    values = 1
    for length in tensor.shape:
        values *= length
    return values // num_values * num_bytes


def _rank(name: str, base: str, pair: dict[str, TensorInfo], num_experts: int) -> int:
    """The dimension that both halves share."""
    if len(pair) != 2:
        raise _refused(name, f"'{base}' has only its half {next(iter(pair)).upper()}")
    a, b = pair["a"].shape, pair["b"].shape
    depth = (num_experts,) if "_exps" in base and num_experts else ()
    if a[2:] != depth or b[2:] != depth or len(a) < 2 or len(b) < 2:
        raise _refused(name, f"'{base}' has halves of the shapes {a} and {b}")
    rank = a[0] if base.endswith("token_embd.weight") else a[1]  # there the halves are swapped
    if rank != b[0]:
        raise _refused(name, f"'{base}': A has the rank {rank}, B has {b[0]}")
    return rank
