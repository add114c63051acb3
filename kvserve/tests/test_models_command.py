"""manage.py models, as people run it: a real process, a real hub on this machine, real files."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from kvserve.errors import ModelUnavailable
from kvserve.tests.conftest import environment
from kvserve.tests.hub import Hub, serving
from kvserve.tests.lora import write_adapter
from kvserve.weights import pull as pulling
from kvserve.weights.gguf_header import read_header
from kvserve.weights.model_store import BUNDLED_MODEL_ID, PREPARED_NAME, find_models
from kvserve.weights.requantise import requantise, type_name

pytestmark = pytest.mark.slow

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
REPOSITORY = "someone/Tiny-GGUF"


def models(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in environment().items() if not k.startswith("HF_")}
    return subprocess.run(
        [sys.executable, str(MANAGE), "models", *arguments],
        capture_output=True,
        text=True,
        env={
            **inherited,
            "OPS_DATA_DIR": str(data_dir),
            "HF_HOME": str(data_dir / "hf-home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **variables,
        },
    )


def files_in(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "models").rglob("*"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> bytes:
    """A GGUF of 24 MiB, so that a download has several pieces."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    half = np.random.default_rng(1).standard_normal((1024, 3072)).astype("f4")
    return write_adapter(path, {"x.weight": (half, half)}, kind="model").read_bytes()


@pytest.fixture
def hub(tiny):
    with serving(Hub(REPOSITORY, {"tiny-q8_0.gguf": tiny})) as running:
        yield running


def test_it_pulls_and_verifies(hub, tmp_path, tiny) -> None:
    always = {"TQDM_POSITION": "-1"}  # a bar even without a terminal
    result = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url, **always)
    assert result.returncode == 0, result.stderr
    assert "checksum verified" in result.stdout
    assert "100%" in result.stderr, "progress is shown"
    assert files_in(tmp_path) == ["tiny-q8_0.gguf"]
    assert (tmp_path / "models" / "tiny-q8_0.gguf").read_bytes() == tiny
    again = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url)
    assert again.returncode == 1
    assert "exists: remove it first" in again.stderr


def test_it_resumes_a_broken_connection(hub, tmp_path, tiny) -> None:
    hub.cuts = 1
    result = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url)
    assert result.returncode == 0, result.stderr
    assert [int(start) > 0 for start in hub.ranges] == [True]
    assert (tmp_path / "models" / "tiny-q8_0.gguf").read_bytes() == tiny


def one_message(result: subprocess.CompletedProcess[str], text: str) -> None:
    assert result.returncode == 1
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_checksum_keeps_nothing(hub, tmp_path) -> None:
    hub.wrong_record = True
    result = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url)
    one_message(result, "arrived with the checksum")
    assert files_in(tmp_path) == []


def test_it_says_what_the_hub_has(hub, tmp_path, tiny) -> None:
    hub.files["tiny-q4_0.gguf"] = tiny
    several = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url)
    one_message(several, "has 2 GGUF files; give one of these:\n  tiny-q8_0.gguf  24 MiB")
    unknown = models(tmp_path, "pull", REPOSITORY, "no.gguf", HF_ENDPOINT=hub.url)
    one_message(unknown, "has no file no.gguf; give one of these")
    nobody = models(tmp_path, "pull", "nobody/nothing", HF_ENDPOINT=hub.url)
    one_message(nobody, "has no model 'nobody/nothing'")
    assert not (tmp_path / "models").exists()


def test_it_pulls_every_part_of_a_split_model(hub, tmp_path, tiny) -> None:
    hub.files = {f"big-0000{n}-of-00002.gguf": tiny for n in (1, 2)}
    result = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT=hub.url)
    assert result.returncode == 0, result.stderr
    assert files_in(tmp_path) == sorted(hub.files)
    assert list(find_models(tmp_path / "models")) == ["big-00001-of-00002"]
    assert models(tmp_path, "remove", "big-00001-of-00002").returncode == 0
    assert files_in(tmp_path) == []


def test_it_is_clear_when_offline(tmp_path) -> None:
    result = models(tmp_path, "pull", REPOSITORY, HF_ENDPOINT="http://127.0.0.1:9")
    one_message(result, "http://127.0.0.1:9 cannot be reached")
    switched_off = models(tmp_path, "pull", REPOSITORY, HF_HUB_OFFLINE="1")
    one_message(switched_off, "Nothing was kept")
    assert not (tmp_path / "models").exists()


def test_it_checks_the_room_before(tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 70 << 20))
    with pytest.raises(ModelUnavailable, match=r"needs 24 MiB .* which has 70 MiB free"):
        pulling._check_room(tmp_path, 24 << 20)


def test_it_lists_requantises_and_removes(tmp_path, model_path) -> None:
    (tmp_path / "models").mkdir()
    os.link(model_path, tmp_path / "models" / PREPARED_NAME)
    (tmp_path / "models" / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    written = models(tmp_path, "requantise", BUNDLED_MODEL_ID, "q4_0")
    assert written.returncode == 0, written.stderr
    assert "272 tensors written" in written.stdout
    rows = models(tmp_path, "list").stdout.splitlines()
    table = {row.split()[0]: row for row in rows}
    assert "llama" in table[BUNDLED_MODEL_ID] and "q8_0" in table[BUNDLED_MODEL_ID]
    assert "135 M" in table[BUNDLED_MODEL_ID] and "bundled, default" in table[BUNDLED_MODEL_ID]
    small = table[f"{BUNDLED_MODEL_ID}.Q4_0"]
    assert "q4_0" in small and "8192" in small
    assert "not a whole GGUF" in table["broken"]
    one_message(models(tmp_path, "requantise", BUNDLED_MODEL_ID, "q4_0"), "exists: remove it")
    one_message(models(tmp_path, "requantise", BUNDLED_MODEL_ID, "q99"), "unknown type 'q99'")
    one_message(models(tmp_path, "requantise", "broken"), "is not a whole GGUF file")
    one_message(models(tmp_path, "requantise", "nothing"), "cannot read nothing")
    one_message(models(tmp_path, "remove", "nothing"), "no model 'nothing'")
    assert models(tmp_path, "remove", f"{BUNDLED_MODEL_ID}.Q4_0").returncode == 0
    assert files_in(tmp_path) == sorted([PREPARED_NAME, "broken.gguf"])


def test_a_requantised_file_is_what_it_says(tmp_path, model_path) -> None:
    target = tmp_path / "small.gguf"
    requantise(model_path, target, "Q4_0")
    assert type_name(read_header(target)) == "q4_0"
    assert target.stat().st_size < model_path.stat().st_size * 0.7
    assert [path.name for path in tmp_path.iterdir()] == ["small.gguf"]


def test_a_full_disk_keeps_nothing(tmp_path, model_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 5 << 20))
    with pytest.raises(ModelUnavailable, match="make room"):
        requantise(model_path, tmp_path / "small.gguf", "q4_0")
    assert not list(tmp_path.iterdir())
