"""Embedders of a folder: listed, loaded on demand, refused by path."""

import json
from pathlib import Path

import pytest

from kvserve.embedder import Embedder
from kvserve.embedders import MAX_LOADED, Embedders
from kvserve.engine.state import LoadState
from kvserve.weights.model_store import bundled_embedder

WAIT_S = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three names for the bundled model, and a folder that is none."""
    for name in ("alpha", "beta", "gamma"):
        (tmp_path / name).symlink_to(bundled_embedder())
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_it_lists_its_own_and_the_folders(folder: Path) -> None:
    own = Embedder(bundled_embedder(), model_name="all-MiniLM-L6-v2")
    assert Embedders(own, folder=folder).names == ["all-MiniLM-L6-v2", "alpha", "beta", "gamma"]
    assert Embedders(own, folder=folder / "missing").names == ["all-MiniLM-L6-v2"]
    assert Embedders(None).names == []


@pytest.mark.parametrize("name", ["..", "../alpha", "/etc", "empty", "delta", "alpha/.", ""])
def test_it_finds_nothing_by_path(folder: Path, name: str) -> None:
    assert Embedders(None, folder=folder).find(name) is None


@pytest.mark.slow
def test_it_loads_on_demand_and_makes_way(folder: Path) -> None:
    embedders = Embedders(None, folder=folder)
    first = embedders.find("Alpha")
    assert first is not None
    assert first is embedders.find("alpha"), "loaded once"
    vectors = first.embed(["chilled water"]).result(WAIT_S).vectors
    assert vectors.shape == (1, 384)

    others = [embedders.find(name) for name in ("beta", "gamma")]
    assert len(others) == MAX_LOADED
    assert first.join(WAIT_S)
    assert first.state is LoadState.STOPPED, "the oldest made way"
    embedders.stop()
    assert all(other is not None and other.join(WAIT_S) for other in others)


@pytest.mark.slow
def test_it_tries_a_broken_folder_again(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "nowhere.Nothing"}])
    )
    embedders = Embedders(None, folder=tmp_path)
    found = embedders.find("broken")
    assert found is not None
    with pytest.raises(Exception, match="nowhere"):
        found.embed(["x"]).result(WAIT_S)
    found.join(WAIT_S)
    (broken / "modules.json").unlink()
    for path in bundled_embedder().iterdir():
        (broken / path.name).symlink_to(path)
    again = embedders.find("broken")
    assert again is not None and again is not found
    assert again.embed(["x"]).result(WAIT_S).vectors.shape == (1, 384)
    embedders.stop()
    assert again.join(WAIT_S)
