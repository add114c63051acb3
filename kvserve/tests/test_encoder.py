"""The exported graph gives the vectors of the model, and nothing else is ever served."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvserve import encoder as encoders
from kvserve.encoder import OnnxEncoder, TorchEncoder, open_encoder
from kvserve.weights.model_store import bundled_embedder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def torch_encoder() -> TorchEncoder:
    return TorchEncoder(bundled_embedder())


@pytest.fixture(scope="module")
def onnx_encoder(graphs: Path) -> OnnxEncoder:
    opened = open_encoder(bundled_embedder(), graphs=graphs)
    assert isinstance(opened, OnnxEncoder)
    return opened


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_it_gives_the_vectors_of_the_model(
    torch_encoder: TorchEncoder, onnx_encoder: OnnxEncoder, texts: list[str]
) -> None:
    wanted, given_ = torch_encoder.encode(texts), onnx_encoder.encode(texts)
    assert given_.dtype == np.float32
    np.testing.assert_allclose(given_, wanted, atol=encoders.TOLERANCE)
    assert onnx_encoder.counts(texts) == torch_encoder.counts(texts)


def test_it_cuts_long_texts_where_the_model_does(
    torch_encoder: TorchEncoder, onnx_encoder: OnnxEncoder
) -> None:
    text = "chilled water valve " * 400
    assert onnx_encoder.counts([text]) == torch_encoder.counts([text]) == [256]
    np.testing.assert_allclose(onnx_encoder.encode([text]), torch_encoder.encode([text]), atol=1e-4)


def test_it_needs_no_torch_once_exported(onnx_encoder: OnnxEncoder, graphs: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kvserve.encoder import open_encoder\n"
        f"found = open_encoder(Path({str(bundled_embedder())!r}), graphs=Path({str(graphs)!r}))\n"
        "print(type(found).__name__, found.encode(['a']).shape, 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.strip() == "OnnxEncoder (1, 384) False"


def test_it_makes_a_damaged_graph_again(graphs: Path, onnx_encoder: OnnxEncoder) -> None:
    (graph,) = graphs.glob("*.onnx")
    graph.write_bytes(b"no graph")
    assert isinstance(open_encoder(bundled_embedder(), graphs=graphs), OnnxEncoder)
    assert [path.name for path in graphs.iterdir()] == [graph.name], "nothing unfinished is left"
    assert graph.stat().st_size > 1_000_000


def test_it_stays_with_the_model_when_the_graph_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "TOLERANCE", -1.0)
    assert isinstance(open_encoder(bundled_embedder(), graphs=tmp_path), TorchEncoder)
    assert list(tmp_path.iterdir()) == []


def test_it_exports_no_other_pooling(tmp_path: Path) -> None:
    folder = tmp_path / "cls"
    shutil.copytree(bundled_embedder(), folder)
    pooling = folder / "1_Pooling" / "config.json"
    stored = json.loads(pooling.read_text())
    stored |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    pooling.write_text(json.dumps(stored))
    assert isinstance(open_encoder(folder, graphs=tmp_path / "graphs"), TorchEncoder)
