"""One file of the disk tier: a segment's KV as llama.cpp saves it, and what proves that it fits.

Layout: MAGIC, the header's length (4 bytes, little endian), the header (JSON), the KV, and a
blake2b digest of everything before.
"""

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from kvserve.kv.chain import Segment

MAGIC = b"KVSEGM01"  # ends with the format's version
DIGEST_BYTES = 32
HEAD_BYTES = 4 << 20  # of a model file: metadata, vocabulary, names and shapes of tensors
SAMPLES, SAMPLE_BYTES = 64, 1 << 16  # of its weights: reading all of a large file takes too long


class Unusable(Exception):
    """A file that must not be served, and why."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Stored:
    """A segment with its KV: `size` bytes of `buffer` from `offset` on."""

    segment: Segment
    buffer: bytearray
    offset: int
    size: int


def fingerprint(model_path: Path, *facts: object) -> str:
    """Names the computation that KV belongs to: model file, llama.cpp's version and `facts`.

    Raises:
        OSError: the file can't be read.
    """
    stat = model_path.stat()
    facts = (stat.st_size, stat.st_mtime_ns, version("llama_cpp_python"), *facts)
    digest = blake2b(repr(facts).encode(), digest_size=16)
    with model_path.open("rb") as file:
        digest.update(file.read(HEAD_BYTES))
        for number in range(SAMPLES):
            file.seek(stat.st_size * number // SAMPLES)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def encode_head(segment: Segment, *, model: str, num_bytes: int) -> bytes:
    """Everything before the KV."""
    header = json.dumps(
        {
            "model": model,
            "key": segment.key.hex(),
            "parent": segment.parent.hex(),
            "start": segment.start,
            "tokens": segment.tokens,
            "bytes": num_bytes,
        }
    ).encode()
    return MAGIC + len(header).to_bytes(4, "little") + header


def write_file(path: Path, segment: Segment, data: bytearray, *, model: str) -> None:
    """Write beside `path`, then rename: a file under its name is whole, or its digest says not.

    It isn't forced to the disk: what a power cut tears is found by the digest.

    Raises:
        OSError: the disk is full or away; nothing is left behind.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    head = encode_head(segment, model=model, num_bytes=len(data))
    digest = blake2b(head, digest_size=DIGEST_BYTES)
    digest.update(data)
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(head)
            file.write(data)
            file.write(digest.digest())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path, key: bytes, *, model: str, block_size: int) -> Stored:
    """The segment `key` and its KV, verified.

    Raises:
        Unusable: truncated, altered, of another model, format or key, or unreadable.
    """
    try:
        with path.open("rb") as file:
            buffer = bytearray(os.fstat(file.fileno()).st_size)
            complete = file.readinto(buffer) == len(buffer)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    body = memoryview(buffer)[:-DIGEST_BYTES]
    if not complete or blake2b(body, digest_size=DIGEST_BYTES).digest() != buffer[len(body) :]:
        raise Unusable("is truncated or altered: its checksum differs")
    if not buffer.startswith(MAGIC):
        raise Unusable("has another format")
    start = len(MAGIC) + 4
    offset = start + int.from_bytes(buffer[len(MAGIC) : start], "little")
    header = json.loads(bytes(buffer[start:offset]))
    if header["model"] != model:
        raise Unusable("belongs to another model or version of llama.cpp")
    segment = Segment(
        bytes.fromhex(header["key"]),
        bytes.fromhex(header["parent"]),
        header["start"],
        tuple(header["tokens"]),
    )
    if segment.key != key or not segment.is_genuine(block_size):
        raise Unusable("holds other tokens than its name says")
    if header["bytes"] != len(body) - offset:
        raise Unusable("has another length than its header says")
    return Stored(segment, buffer, offset, header["bytes"])
