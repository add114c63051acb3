"""The command `evaluate_answers`: the whole way from questions to stored figures."""

import json

import pytest
from django.core.management import CommandError, call_command

from rag.evaluation.answers import has_facts
from rag.models import EvaluationRun

QUESTIONS = """
queries:
  - query: "How do I start the standby unit CRAC-4?"
    relevant: ["eop-test-crac#2"]
    key_facts: ["30 s", "run command"]
  - query: "Who won the football world cup in 1990?"
    answerable: false
"""


@pytest.mark.slow
def test_it_measures_answers(corpus, engine, settings, tmp_path, capsys):
    settings.LLM_ANSWERS = "quote"
    path, out = tmp_path / "mine.tune.yaml", tmp_path / "out.json"
    path.write_text(QUESTIONS)
    call_command("evaluate_answers", str(path), json=out)

    (run,) = EvaluationRun.objects.all()
    assert (run.kind, run.name, len(run.rows)) == ("answers", "mine.tune", 2)
    figures = run.figures
    assert figures["abstention"] == 1.0
    assert figures["false_abstention"] == 0.0
    assert figures["key_facts"] == 1.0
    assert figures["supported"] == figures["citation_recall"] == 1.0
    assert figures["sentences"] >= 3
    assert "citation_precision" in capsys.readouterr().out
    assert json.loads(out.read_text())["runs"][0]["figures"] == figures


def test_it_keeps_no_rows_of_a_held_set(corpus, no_engine, settings, tmp_path):
    settings.LLM_ANSWERS = "quote"
    path = tmp_path / "mine.held.yaml"
    path.write_text(QUESTIONS)
    with pytest.raises(CommandError, match="held set is never looked at"):
        call_command("evaluate_answers", str(path), misses=True)


def test_it_asks_for_the_documents_first(db, no_engine, tmp_path):
    (tmp_path / "mine.yaml").write_text(QUESTIONS)
    with pytest.raises(CommandError, match="import the documents first"):
        call_command("evaluate_answers", str(tmp_path / "mine.yaml"))


def test_it_finds_key_facts_whatever_the_marks():
    assert has_facts("> set `crac-4.run_cmd` to\n> **1** [2]", ["crac-4.run_cmd to 1|x"])
    assert not has_facts("set it to 1", ["1", "2"])
