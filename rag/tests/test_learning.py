"""How the weights of the ranking are learned."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.evaluation.learning import FREE, Table, weights_learn
from rag.retrieval.features import DEFAULT_WEIGHTS, NAMES, WEIGHTS_FILE, Weights, weights_array


def tables(
    telling: dict[str, float], *, questions: int = 60, seed: int = 1, noise: float = 0.0
) -> list[Table]:
    """Questions whose right candidate is the one with the highest sum of `telling` features."""
    rng = np.random.default_rng(seed)
    truth = np.array([telling.get(name, 0.0) for name in NAMES])
    made = []
    for number in range(questions):
        columns = rng.normal(size=(12, len(NAMES)))
        scores = columns @ truth + noise * rng.normal(size=12)
        right = np.arange(12) == int(scores.argmax())
        made.append(Table(columns, right, np.arange(12), number % 15, f"set {number % 2}"))
    return made


def test_it_finds_what_tells_right_from_wrong_on_documents_left_out():
    learned = weights_learn(tables({"coverage": 3.0, "pairs": 1.0}))
    weights = dict(zip(NAMES, weights_array(learned.weights), strict=True))
    assert weights["coverage"] > weights["pairs"] > 5 * weights["figure"]
    best = learned.left_out[learned.penalty]
    assert set(best) == {"set 0", "set 1"}
    assert min(best.values()) > 0.8  # 0.26 by chance


def test_it_keeps_weights_small_where_nothing_can_be_learned():
    told = weights_array(weights_learn(tables({"coverage": 3.0})).weights)
    untold = weights_array(weights_learn(tables({}, noise=1.0)).weights)
    assert np.abs(untold).max() < 0.2 * np.abs(told).max()


@settings(max_examples=8, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.floats(-3, 3), max_size=4), st.integers(0, 1000))
def test_it_lets_nothing_count_against_a_passage_but_what_may(telling, seed):
    learned = weights_learn(tables(telling, questions=20, seed=seed, noise=1.0), penalties=(5.0,))
    for name, weight in zip(NAMES, weights_array(learned.weights), strict=True):
        assert np.isfinite(weight)
        assert weight >= 0 or name in FREE


def test_it_refuses_questions_that_teach_nothing():
    every = [
        Table(table.columns, np.ones(12, dtype=np.bool_), table.ids, table.document, table.name)
        for table in tables({"coverage": 1.0}, questions=4)
    ]
    with pytest.raises(ValueError, match="nothing to learn"):
        weights_learn(every)


def test_it_ranks_by_the_weights_of_the_file(tmp_path):
    assert Weights.read(WEIGHTS_FILE) == DEFAULT_WEIGHTS
    found = json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))
    del found["weights"]["pairs"]
    broken = tmp_path / "weights.json"
    broken.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(ValueError, match="learn_ranking --write"):
        Weights.read(broken)


def test_it_learns_from_searches_and_never_from_a_held_set(corpus, engine, tmp_path, capsys):
    mine = tmp_path / "mine.tune.yaml"
    mine.write_text(
        "queries:\n"
        "  - {query: a cooling unit has tripped, relevant: [eop-test-crac#1]}\n"
        "  - {query: XID 79, relevant: [gpu-xid.md]}\n",
        encoding="utf-8",
    )
    before = WEIGHTS_FILE.read_bytes()
    call_command("learn_ranking", str(mine), skip_missing=True)
    told = capsys.readouterr().out
    assert "MRR@10 on documents left out" in told
    assert all(name in told for name in NAMES)
    assert WEIGHTS_FILE.read_bytes() == before
    held = Path(mine.parent / "mine.held.yaml")
    held.write_bytes(mine.read_bytes())
    with pytest.raises(CommandError, match="held set is never learned from"):
        call_command("learn_ranking", str(held))
    with pytest.raises(CommandError, match="No such file"):
        call_command("learn_ranking", str(tmp_path / "none.yaml"))
