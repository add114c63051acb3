"""Figures of retrieval: by hand, by file, and by the command on the demo procedures."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from rag.evaluation.metrics import Figures, Golden, GoldenInvalid, figures, load, rank_of_first

ROOM = Path(__file__).parent.parent
GOLDEN = ROOM / "evaluation" / "procedures.yaml"


def test_it_computes_the_figures():
    assert figures([1, 2, None, 6]) == Figures(4, (1 + 1 / 2 + 1 / 6) / 4, 1 / 4, 2 / 4)
    assert figures([]).mrr == 0


def test_it_ranks_documents_and_steps():
    golden = Golden("q", frozenset({"a#2", "b"}))
    assert rank_of_first(golden, [("a", 1), ("a", 2)]) == 2
    assert rank_of_first(golden, [("b", None)]) == 1
    assert rank_of_first(golden, [("c", 1)] * 10 + [("b", 1)]) is None


def test_it_reads_each_format(tmp_path):
    expected = [Golden("x?", frozenset({"a#1"}))]
    for name, text in (
        ("g.jsonl", '{"query": "x?", "relevant": ["a#1"]}\n'),
        ("g.json", '[{"query": "x?", "relevant": "A#1"}]'),
        ("g.yaml", "queries:\n- {query: 'x?', relevant: ['a#1']}\n"),
    ):
        (tmp_path / name).write_text(text)
        assert load(tmp_path / name) == expected


@pytest.mark.parametrize("text", ["[", "[]", "queries: 3", "- {query: x}"])
def test_it_names_the_fault_of_a_golden_file(tmp_path, text):
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(GoldenInvalid, match=r"g\.yaml"):
        load(tmp_path / "g.yaml")


def test_it_asks_for_the_documents_first(db, engine):
    with pytest.raises(CommandError, match="import the documents first"):
        call_command("evaluate_retrieval", str(GOLDEN))


@pytest.mark.slow
def test_it_finds_the_demo_procedures(import_text, engine, capsys):
    for path in sorted((ROOM / "procedures").glob("*.md")):
        import_text(path.name, path.read_bytes(), collection="procedures")
    call_command("evaluate_retrieval", str(GOLDEN))
    lines = capsys.readouterr().out.splitlines()
    mrr = {line.split()[0]: float(line.split()[1]) for line in lines[-3:]}

    assert mrr["hybrid"] >= 0.80
    assert mrr["hybrid"] > max(mrr["vector"], mrr["text"]) - 0.02
