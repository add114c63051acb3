"""The command line, shared by `manage.py kvserve` and `python -m kvserve.server_main`."""

import argparse
from pathlib import Path

from kvserve.adapters.adapter_file import LoraModule
from kvserve.config import WATTS_PER_CORE, EngineConfig, available_cores


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
    add(
        "--embedder-dir",
        type=Path,
        help="each folder in it that sentence-transformers saved is served under its name, loaded"
        " at its first request (default: embedders in the data dir)",
    )
    add(
        "--reranker",
        type=Path,
        help="folder that sentence-transformers' CrossEncoder saved, for /v1/rerank (default: none)",
    )
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
        "--products",
        choices=["packed", "stock"],
        default="packed",
        help="'packed' multiplies Q8_0 weights with a batch by AVX-512 VNNI; falls back likewise"
        " (default: %(default)s)",
    )
    add(
        "--packed-gib",
        type=float,
        default=2.0,
        help="memory for weights that stay packed between steps, at most an eighth of what is free;"
        " 0 packs them in every step (default: %(default)s)",
    )
    add(
        "--swap-gib",
        type=float,
        default=2.0,
        help="host memory for preempted requests, at most an eighth of what is free; 0 computes"
        " them again (default: %(default)s)",
    )
    add(
        "--watts-per-core",
        type=float,
        default=WATTS_PER_CORE,
        help="watts of a logical core at full load, for the energy estimate where RAPL cannot be"
        " read (default: %(default)s, assumed)",
    )
    add(
        "--disk-tier-gib",
        type=float,
        default=0.0,
        help="disk space for prefixes that were used again: they survive a restart; holds what"
        " people asked in the clear (default: %(default)s, off)",
    )
    add("--disk-tier-dir", type=Path, help="where to keep them (default: kvcache in the data dir)")
    add(
        "--swap-models",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let a request that names another model of the models folder (or POST"
        " /v1/models/load) change the model (default: yes)",
    )
    add(
        "--model-turn-s",
        type=float,
        default=10.0,
        help="seconds that a model with work stays while requests wait for another"
        " (default: %(default)s)",
    )
    add(
        "--lora-modules",
        type=_lora_module,
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="LoRA adapters (GGUF) to load at start; a request chooses one by its name as model",
    )
    add(
        "--max-loras",
        type=int,
        default=8,
        help="adapters that may be loaded at a time (default: %(default)s)",
    )
    add(
        "--lora-dir",
        type=Path,
        help="the only folder from which /v1/load_lora_adapter loads (default: adapters in the"
        " data dir)",
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


def _lora_module(text: str) -> LoraModule:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return LoraModule(name, Path(path))


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
        products=options.products,
        packed_bytes=int(options.packed_gib * (1 << 30)),
        swap_bytes=int(options.swap_gib * (1 << 30)),
        disk_tier_bytes=int(options.disk_tier_gib * (1 << 30)),
        disk_tier_dir=options.disk_tier_dir,
        prefix_cache=not options.no_prefix_cache,
        lora_modules=tuple(options.lora_modules),
        max_loras=options.max_loras,
        watts_per_core=options.watts_per_core,
    )
