"""Small LoRA adapters of random numbers for the bundled model, strong enough to change its text."""

from pathlib import Path

import gguf
import numpy as np

LAYERS = 30
SHAPES = {"attn_q": (576, 576), "attn_v": (192, 576), "ffn_down": (576, 1536)}  # out, in
Pair = tuple[np.ndarray, np.ndarray]


def random_pairs(seed: int, *, rank: int = 8, strength: float = 0.3) -> dict[str, Pair]:
    """A and B (in numpy's order) for some tensors of each layer."""
    rng = np.random.default_rng(seed)
    return {
        f"blk.{layer}.{name}.weight": (
            (rng.standard_normal((rank, width)) * strength / width**0.5).astype(np.float32),
            (rng.standard_normal((height, rank)) * strength).astype(np.float32),
        )
        for layer in range(LAYERS)
        for name, (height, width) in SHAPES.items()
    }


def write_adapter(
    path: Path,
    pairs: dict[str, Pair],
    *,
    alpha: float = 40.0,
    arch: str = "llama",
    kind: str = "adapter",
) -> Path:
    """The file that llama.cpp's convert_lora_to_gguf.py would write."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
