"""The command line, shared by `manage.py kvserve` and `python -m kvserve.server_main`."""

import argparse
from pathlib import Path

from kvserve.config import EngineConfig, available_cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare every option."""
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        help="GGUF file (default: the bundled SmolLM2-135M as Q8_0, prepared once)",
    )
    add("--served-model-name", help="name to answer to (default: the file's name)")
    add("--embedder", default="all-MiniLM-L6-v2", choices=["all-MiniLM-L6-v2", "none"])
    add("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    add("--port", type=int, default=8100, help="port to bind (default: %(default)s)")
    add(
        "--api-key-file",
        type=Path,
        help="file with the key that clients must send as 'Authorization: Bearer …', for"
        " everything but /health (default: none asked)",
    )
    add("--block-size", type=int, default=16, help="tokens per KV block (default: %(default)s)")
    add(
        "--kv-blocks",
        type=_blocks,
        default=None,
        help="'auto' (from free memory, the default) or a number",
    )
    add("--max-seqs", type=int, default=64, help="sequences run together (default: %(default)s)")
    add(
        "--batch-tokens",
        type=int,
        default=256,
        help="token budget of a step (default: %(default)s)",
    )
    add("--max-model-len", type=int, help="longest prompt plus answer (default: the model's own)")
    add("--threads", type=int, default=available_cores(), help="CPU threads (default: all cores)")
    add(
        "--attention",
        choices=["paged", "stock"],
        default="paged",
        help="'paged' reads each sequence's own cells; where it does not fit (other library, other"
        " processor, GPU) it says why and runs llama.cpp's 'stock' (default: %(default)s)",
    )
    add(
        "--swap-gib",
        type=float,
        default=2.0,
        help="host memory for preempted requests, at most an eighth of what is free; 0 computes"
        " them again (default: %(default)s)",
    )
    add(
        "--no-prefix-cache",
        action="store_true",
        help="do not keep the KV of finished prompts for later requests",
    )


def _blocks(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'auto' nor a number") from None


def engine_config(options: argparse.Namespace, *, model_path: Path) -> EngineConfig:
    """The engine's settings.

    Raises:
        ValueError: an option is out of range.
    """
    return EngineConfig(
        model_path=model_path,
        block_size=options.block_size,
        kv_blocks=options.kv_blocks,
        max_seqs=options.max_seqs,
        max_batch_tokens=options.batch_tokens,
        max_model_len=options.max_model_len,
        threads=options.threads,
        attention=options.attention,
        swap_bytes=int(options.swap_gib * (1 << 30)),
        prefix_cache=not options.no_prefix_cache,
    )
