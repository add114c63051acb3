"""Measures against hand-worked figures, runs and their records, and the command itself."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from rag.access import Reader
from rag.evaluation.comparing import runs_compare, systems_of
from rag.evaluation.golden import Golden, GoldenInvalid, Target
from rag.evaluation.measures import ZERO, interval, means, p_value, scores
from rag.evaluation.questions import (
    golden_question_save,
    lines_of_targets,
    targets_of_lines,
    targets_of_passages,
)
from rag.evaluation.records import (
    GOLDEN_NAME,
    golden_load,
    golden_run_execute,
    golden_run_start,
    runs_give_up,
)
from rag.evaluation.resolving import Judged, Wanted
from rag.evaluation.running import CannotEvaluate, retrieval_evaluate
from rag.evaluation.series import series_by_set
from rag.models import Collection, EvaluationRun, GoldenQuestion, Passage

ROOM = Path(__file__).parent.parent
GOLDEN = ROOM / "evaluation" / "golden"
ALL = Reader(sees_all=True)


def judged(*wanted: set[int]) -> Judged:
    things = tuple(Wanted(str(number), frozenset(ids)) for number, ids in enumerate(wanted))
    return Judged(Golden("x?"), things)


def test_it_measures_as_worked_by_hand():
    # Wanted a and b: a at rank 2, b at rank 4. DCG = 1/log2(3) + 1/log2(5), ideal 1 + 1/log2(3).
    (found,) = scores([judged({1, 2}, {3})], [[9, 2, 1, 3]])
    assert found.mrr == 0.5
    assert found.hit_1 == 0
    assert found.hit_5 == 1
    assert found.recall == 1
    assert found.ndcg == pytest.approx((0.63093 + 0.43068) / (1 + 0.63093), abs=1e-4)


def test_it_gives_nothing_for_nothing():
    assert scores([judged({1}), judged({1})], [[], [2]]) == [ZERO, ZERO]
    assert scores([], []) == []
    assert means([]) == ZERO
    assert interval([]) == (0.0, 0.0)


def test_it_does_not_count_beyond_ten():
    (found,) = scores([judged({1})], [[*range(100, 110), 1]])
    assert found == ZERO


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=10, unique=True),
            st.sets(st.integers(0, 12), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_it_agrees_with_the_rank_of_the_first_right_passage(questions):
    items = [judged(*({key} for key in sorted(wanted))) for _found, wanted in questions]
    measured = scores(items, [found for found, _wanted in questions])
    for item, (found, wanted), values in zip(items, questions, measured, strict=True):
        first = item.first(found)
        assert values.mrr == pytest.approx(1 / first if first else 0)
        assert values.hit_1 == (first == 1)
        assert values.recall == pytest.approx(len(wanted & set(found)) / len(wanted))
        assert 0 <= values.ndcg <= 1 + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_it_puts_the_mean_inside_the_interval(values):
    low, high = interval(values, resamples=500)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= sum(values) / len(values) <= high + 1e-9 or len(set(values)) > 1


def test_it_tells_a_difference_from_chance():
    better = [1.0] * 20
    assert p_value(better, better) == 1.0
    assert p_value(better, [0.5] * 20) < 0.001
    assert p_value(better, [0.5, *[1.0] * 19]) > 0.5
    with pytest.raises(ValueError, match="20 and 1 questions"):
        p_value(better, [1.0])


# Runs


def question(text: str, *names: str, **fields) -> Golden:
    return Golden(text, (Target(names, **fields),), place="entry 1")


def test_it_runs_every_ranking_and_stores_what_it_found(corpus, engine):
    heard: list[tuple[int, int]] = []
    evaluation = retrieval_evaluate(
        [
            question("XID 79", "gpu-xid.md", contains="fallen off the bus"),
            Golden("what colour is the door", is_answerable=False),
        ],
        reader=ALL,
        progress=lambda done, total: heard.append((done, total)),
    )
    figures = evaluation.figures()
    assert list(figures) == ["hybrid", "vector", "text"]
    assert figures["hybrid"]["mrr"] == 1
    assert figures["hybrid"]["questions"] == 1
    assert "p_value" not in figures["hybrid"]
    assert 0 < figures["text"]["p_value"] <= 1
    assert evaluation.unanswerable == 1
    assert heard == [(0, 1), (1, 1)]
    (row,) = evaluation.rows()
    assert row["ranks"]["hybrid"] == 1
    assert row["wanted"] == ["gpu-xid.md · “fallen off the bus”"]


def test_it_names_documents_that_are_missing(corpus, engine):
    questions = [question("a", "eop-test-crac"), question("b", "no-such.md")]
    with pytest.raises(CannotEvaluate, match=r"not in the library: no-such\.md \(entry 1\)"):
        retrieval_evaluate(questions, reader=ALL)
    evaluation = retrieval_evaluate(questions, reader=ALL, skip_missing=True)
    assert [item.golden.query for item in evaluation.skipped] == ["b"]
    with pytest.raises(CannotEvaluate, match="no question could be judged"):
        retrieval_evaluate(questions[1:], reader=ALL, skip_missing=True)


def test_it_does_not_state_figures_without_the_embedding_server(corpus, no_engine):
    with pytest.raises(CannotEvaluate, match="start kvserve"):
        retrieval_evaluate([question("a", "eop-test-crac")], reader=ALL)


# The command


def golden_file(folder: Path, name: str = "mine.tune.yaml") -> str:
    path = folder / name
    path.write_text(
        "- {query: XID 79, relevant: [gpu-xid.md]}\n- {query: standby CRAC-4, relevant: "
        "[eop-test-crac#2]}\n- {query: who won, answerable: false}\n"
    )
    return str(path)


def test_it_prints_writes_and_keeps_the_figures(corpus, engine, tmp_path, capsys):
    out = tmp_path / "out.json"
    call_command(
        "evaluate_retrieval", golden_file(tmp_path), "--fusion", "zsum", "--fusion", "rrf",
        "--json", str(out), "--misses",
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "mine.tune: 2 questions (1 unanswerable left out)" in printed
    assert [line.split()[0] for line in printed.splitlines() if "–" in line][:1] == ["hybrid"]
    (written,) = json.loads(out.read_text())
    assert set(written["figures"]) == {"hybrid zsum", "hybrid rrf", "vector", "text"}
    run = EvaluationRun.objects.get()
    assert run.name == "mine.tune"
    assert run.setup["passages"] == Passage.objects.count()
    assert run.setup["embedding_model"]
    assert not run.is_held
    assert len(run.rows) == 2


def test_it_keeps_totals_only_of_a_held_set(corpus, engine, tmp_path, capsys):
    path = golden_file(tmp_path, "mine.held.yaml")
    with pytest.raises(CommandError, match="never looked at"):
        call_command("evaluate_retrieval", path, "--misses")
    call_command("evaluate_retrieval", path, "--legs", "hybrid")
    run = EvaluationRun.objects.get()
    assert run.is_held
    assert run.rows == []
    assert run.figures["hybrid"]["questions"] == 2
    assert "standby" not in capsys.readouterr().out


def test_it_says_what_is_wrong_with_the_call(corpus, engine, tmp_path):
    path = golden_file(tmp_path)
    for arguments, said in (
        ([], "name a file"),
        ([str(tmp_path / "none.yaml")], "No such file"),
        ([path, "--collection", "none"], "no such collection"),
        ([path, "--k", "3"], "10 to 50"),
        (["--golden"], "no active golden question"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("evaluate_retrieval", *arguments)
    (tmp_path / "bad.yaml").write_text("- {query: x, relevant: other.md}\n")
    with pytest.raises(CommandError, match="import the documents first"):
        call_command("evaluate_retrieval", str(tmp_path / "bad.yaml"))
    assert not EvaluationRun.objects.exists()


def test_it_only_measures_when_asked_to(corpus, engine, tmp_path):
    call_command("evaluate_retrieval", golden_file(tmp_path), "--no-store", "--legs", "hybrid")
    assert not EvaluationRun.objects.exists()


# Golden questions of the database


def test_it_names_passages_so_that_they_outlive_a_revision(corpus, viewer):
    step = Passage.objects.get(revision__document__slug="eop-test-crac", step=2)
    other = Passage.objects.get(text__contains="fallen off the bus")
    reader = Reader.of(viewer)
    targets = targets_of_passages([step.pk, other.pk, 0], reader)
    assert "eop-test-crac#2" in targets
    question = golden_question_save(
        query=" what  now ", relevant=targets, key_facts=["bus", " "], reader=reader, user=viewer
    )
    assert question.query == "what now"
    assert question.key_facts == ["bus"]
    assert [golden.query for golden in golden_load()] == ["what now"]
    assert targets_of_lines(lines_of_targets(targets)) == targets


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"query": " ", "relevant": ["eop-test-crac"]}, "The question is empty"),
        ({"query": "x", "relevant": []}, "Mark at least one passage"),
        ({"query": "x", "relevant": ["none.md"]}, r"Not among the documents .* none\.md"),
        ({"query": "Known", "relevant": ["eop-test-crac"]}, "golden already"),
        ({"query": "x", "relevant": ["eop-test-crac"], "key_facts": ["("]}, "regular expression"),
    ],
)
def test_it_refuses_a_question_that_measures_nothing(corpus, viewer, fields, said):
    GoldenQuestion.objects.create(query="known", relevant=["eop-test-crac"])
    with pytest.raises(GoldenInvalid, match=said):
        golden_question_save(reader=Reader.of(viewer), user=viewer, **fields)


def test_it_refuses_passages_that_the_person_may_not_read(corpus, viewer):
    Collection.objects.get(slug="tests").groups.create(name="electricians")
    passage = Passage.objects.filter(step=2)[0]
    assert targets_of_passages([passage.pk], Reader.of(viewer)) == []
    with pytest.raises(GoldenInvalid, match="Not among the documents"):
        golden_question_save(
            query="x", relevant=["eop-test-crac#2"], reader=Reader.of(viewer), user=viewer
        )


def test_it_carries_out_a_run_over_the_golden_questions_once(corpus, engine, operator):
    with pytest.raises(CannotEvaluate, match="no active golden question"):
        golden_run_start(user=operator)
    GoldenQuestion.objects.create(query="standby CRAC-4", relevant=["eop-test-crac#2"])
    GoldenQuestion.objects.create(query="gone", relevant=["no-such-document"])
    GoldenQuestion.objects.create(query="retired", relevant=["x"], is_active=False)
    run = golden_run_start(user=operator)
    with pytest.raises(CannotEvaluate, match="already under way"):
        golden_run_start(user=operator)
    done = golden_run_execute(run_id=run.pk)
    assert done is not None
    assert done.state == EvaluationRun.State.DONE
    assert done.figures["hybrid"]["mrr"] == 1
    assert (done.done, done.total, done.setup["skipped"]) == (1, 1, 1)
    assert golden_run_execute(run_id=run.pk) is None
    call_command("evaluate_retrieval", "--golden", "--skip-missing")
    assert EvaluationRun.objects.filter(name=GOLDEN_NAME).count() == 2


def test_it_says_why_a_run_failed(corpus, no_engine, operator):
    GoldenQuestion.objects.create(query="standby CRAC-4", relevant=["eop-test-crac#2"])
    run = golden_run_start(user=operator)
    assert golden_run_execute(run_id=run.pk) is None
    run.refresh_from_db()
    assert run.state == EvaluationRun.State.FAILED
    assert "start kvserve" in run.error


def test_it_gives_up_a_run_whose_worker_is_lost(db, operator):
    GoldenQuestion.objects.create(query="x", relevant=["x"])
    run = golden_run_start(user=operator)
    assert runs_give_up() == 0
    EvaluationRun.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    assert golden_run_start(user=operator).pk != run.pk
    run.refresh_from_db()
    assert run.state == EvaluationRun.State.FAILED


# Comparing


def stored(ranks: dict[str, int | None], *, mrr: float, name: str = "set") -> EvaluationRun:
    return EvaluationRun.objects.create(
        kind="retrieval",
        name=name,
        started_at=timezone.now(),
        setup={"version": "1.2.3", "questions": len(ranks)},
        figures={"hybrid": {"mrr": mrr, "hit_1": 0.5}, "text": {"mrr": 0.1}},
        rows=[
            {"query": query, "ranks": {"hybrid": rank, "text": 1}, "wanted": [], "found": []}
            for query, rank in ranks.items()
        ],
    )


def test_it_says_what_got_better_and_what_got_worse(db):
    before = stored({"a": 1, "b": 4, "c": 2, "old": 1}, mrr=0.4)
    after = stored({"a": None, "b": 1, "c": 2, "new": 1}, mrr=0.6)
    found = runs_compare(before, after)
    assert [(item.query, item.before, item.after) for item in found.worse] == [("a", 1, None)]
    assert [(item.query, item.before, item.after) for item in found.better] == [("b", 4, 1)]
    assert (found.same, found.only_before, found.only_after) == (1, 1, 1)
    assert found.figures[0] == ("mrr", 0.4, 0.6, pytest.approx(0.2))
    assert found.p_value is not None


def test_it_keeps_the_ranking_under_test_first(db):
    run = stored({"a": 1}, mrr=0.4)
    run.figures = {"text": {"mrr": 0.1}, "hybrid rrf": {"mrr": 0.2}, "vector": {"mrr": 0.3}}
    run.setup["systems"] = [{"name": "vector"}, {"name": "hybrid rrf"}, {"name": "gone"}]
    run.save()
    run.refresh_from_db()  # JSON in PostgreSQL sorts the names
    assert systems_of(run) == ["vector", "hybrid rrf", "text"]
    run.setup = {}
    assert systems_of(run) == ["hybrid rrf", "text", "vector"]


def test_it_draws_runs_of_a_set_in_the_order_of_time(db):
    stored({}, mrr=0.4)
    stored({}, mrr=0.6)
    stored({}, mrr=0.5, name="other")
    series = {item["name"]: item for item in series_by_set()}
    assert series["set"]["lines"][0] == {"label": "MRR@10", "values": [0.4, 0.6]}
    assert series["set"]["versions"] == ["1.2.3", "1.2.3"]
    assert series["other"]["count"] == 1


# The demo procedures, on both halves. Measured on 2026-11-21 (docs/evaluation.md); a fall of more
# than 0.03 below that is a regression.
FLOORS = {"procedures.tune": 0.86, "procedures.held": 0.81}


@pytest.mark.slow
def test_it_finds_the_demo_procedures(import_text, engine, capsys):
    for path in sorted((ROOM / "procedures").glob("*.md")):
        import_text(path.name, path.read_bytes(), collection="procedures")
    call_command("evaluate_retrieval", *(str(GOLDEN / f"{name}.yaml") for name in FLOORS))
    for name, floor in FLOORS.items():
        figures = EvaluationRun.objects.get(name=name).figures
        assert figures["hybrid"]["mrr"] >= floor, name
        assert figures["hybrid"]["mrr"] > figures["vector"]["mrr"], name
        assert figures["hybrid"]["mrr"] > figures["text"]["mrr"], name
