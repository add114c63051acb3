"""Bench, evaluation and golden questions as viewer, operator, supervisor and stranger."""

import json

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.evaluation.marking import snippet_html
from rag.models import Collection, EvaluationRun, GoldenQuestion, Passage

ROLES = ["viewer", "operator", "supervisor", "admin"]


@pytest.fixture
def runs(db, operator) -> list[EvaluationRun]:
    """An older and a newer run of one set, a held one and one of answers."""

    def run(name: str, rank: int | None, mrr: float, **fields) -> EvaluationRun:
        wanted = ["eop-test-crac · step 2"]
        return EvaluationRun.objects.create(
            kind=fields.pop("kind", "retrieval"),
            name=name,
            started_at=timezone.now(),
            setup={"version": "0.9.9", "questions": 1, "held": "held" in name},
            figures={"hybrid": {"mrr": mrr, "hit_1": mrr, "hit_5": 1.0, "ndcg": mrr}},
            rows=[{"query": "standby?", "wanted": wanted, "found": wanted,
                   "ranks": {"hybrid": rank}}],
            created_by=operator,
            **fields,
        )  # fmt: skip

    answers = run("answers", None, 0.5, kind="answers")
    answers.figures = {"supported": 0.97, "citation_recall": 0.91, "questions": 40}
    answers.rows = [{"question": "x"}]
    answers.save()
    return [run("mine.tune", 4, 0.25), run("mine.tune", 1, 1.0), run("mine.held", 1, 1.0), answers]


@pytest.fixture
def pages(runs) -> list[str]:
    first, second, *_rest = runs
    return [
        "/knowledge/bench/",
        "/knowledge/bench/?q=standby+CRAC-4&k=5&fusion=rrf&at=2026-11-01&kind=eop",
        "/knowledge/evaluation/",
        "/knowledge/evaluation/?kind=answers",
        *(f"/knowledge/evaluation/{run.pk}/" for run in runs),
        f"/knowledge/evaluation/compare/?before={first.pk}&after={second.pk}",
        "/knowledge/golden/",
        "/api/v1/knowledge/evaluations",
        f"/api/v1/knowledge/evaluations/{first.pk}",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_it_shows_every_page_to_every_role(corpus, no_engine, pages, request, client_as, role):
    client = client_as(request.getfixturevalue(role))
    for page in pages:
        assert client.get(page).status_code == 200, page


def test_it_shows_nothing_to_strangers(pages, client):
    for page in pages:
        answer = client.get(page)
        assert answer.status_code in (302, 401, 403), page
        if answer.status_code == 302:
            assert answer.url.startswith("/login/")


def test_it_lets_operators_save_and_run_and_viewers_look(corpus, runs, client_as, viewer, operator):
    question = GoldenQuestion.objects.create(query="x", relevant=["eop-test-crac"])
    posts = [
        ("/knowledge/bench/save/", {"query": "new", "relevant": "eop-test-crac#2"}),
        (f"/knowledge/golden/{question.pk}/", {"action": "retire"}),
        ("/knowledge/evaluation/start/", {}),
    ]
    for path, body in posts:
        assert client_as(viewer).post(path, body).status_code == 403, path
        assert client_as(operator).post(path, body).status_code == 302, path
    page = client_as(viewer).get("/knowledge/bench/?q=standby").content.decode()
    assert "Keep as golden question" not in page
    assert "Run them now" not in client_as(viewer).get("/knowledge/evaluation/").content.decode()
    assert "Run them now" in client_as(operator).get("/knowledge/evaluation/").content.decode()


def test_it_puts_three_rankings_beside_each_other(corpus, engine, client_as, viewer):
    page = client_as(viewer).get("/knowledge/bench/", {"q": "start the standby CRAC-4"})
    text = page.content.decode()
    for words in ("Hybrid", "Meaning", "Words", "Terms looked up", "Milliseconds", "Confidence"):
        assert words in text
    assert "<mark>CRAC-4</mark>" in text
    assert text.count("Step 2 — Start the standby CRAC") >= 3


def test_it_keeps_the_bench_to_what_a_person_may_read(corpus, engine, client_as, viewer, admin):
    Collection.objects.get(slug="tests").groups.add(Group.objects.create(name="electricians"))
    mine = client_as(viewer).get("/knowledge/bench/", {"q": "standby CRAC-4"}).content.decode()
    assert "CRAC unit failure" not in mine
    assert '<option value="tests"' not in mine
    assert "CRAC unit failure" in (
        client_as(admin).get("/knowledge/bench/", {"q": "standby CRAC-4"}).content.decode()
    )


def test_it_says_what_is_no_time(corpus, client_as, viewer):
    page = client_as(viewer).get("/knowledge/bench/", {"q": "x", "at": "noon<"}).content.decode()
    assert "“noon&lt;” is no time" in page


@pytest.mark.parametrize("query", ["k=9&q=%00", "q=x&kind=z&fusion=z&collection=none", "mark=z"])
def test_it_bears_odd_parameters(corpus, no_engine, client_as, viewer, query):
    assert client_as(viewer).get(f"/knowledge/bench/?{query}").status_code == 200


def test_it_saves_what_was_marked(corpus, client_as, operator):
    passage = Passage.objects.get(revision__document__slug="eop-test-crac", step=2)
    body = {"query": "standby?", "passage": [passage.pk, "x"], "key_facts": "crac-4\n30 s"}
    answer = client_as(operator).post("/knowledge/bench/save/", body, follow=True)
    question = GoldenQuestion.objects.get()
    assert question.relevant == ["eop-test-crac#2"]
    assert question.key_facts == ["crac-4", "30 s"]
    assert question.created_by == operator
    assert f"Saved as golden question {question.pk}" in answer.content.decode()
    again = client_as(operator).post("/knowledge/bench/save/", {"query": "y"}, follow=True)
    assert "Mark at least one passage" in again.content.decode()
    client_as(operator).post("/knowledge/bench/save/", {"query": "y", "answerable": "no"})
    assert not GoldenQuestion.objects.get(query="y").is_answerable


def test_it_changes_and_retires_questions(corpus, client_as, operator):
    question = GoldenQuestion.objects.create(query="x", relevant=["eop-test-crac#2"])
    client, path = client_as(operator), f"/knowledge/golden/{question.pk}/"
    client.post(path, {"query": "better", "relevant": "gpu-xid.md: off the bus"})
    question.refresh_from_db()
    assert question.query == "better"
    assert question.relevant == [{"document": "gpu-xid.md", "contains": "off the bus"}]
    refused = client.post(path, {"query": "worse", "relevant": "none.md"}, follow=True)
    assert "is unchanged. Not among the documents" in refused.content.decode()
    client.post(path, {"action": "retire"})
    question.refresh_from_db()
    assert (question.query, question.is_active) == ("better", False)
    assert "better" not in client.get("/knowledge/golden/").content.decode()
    assert "better" in client.get("/knowledge/golden/?state=retired").content.decode()
    client.post(path, {"action": "restore"})
    question.refresh_from_db()
    assert question.is_active


def test_it_points_at_questions_whose_passage_is_gone(corpus, client_as, viewer):
    GoldenQuestion.objects.create(query="fine", relevant=["eop-test-crac#2"])
    page = client_as(viewer).get("/knowledge/golden/").content.decode()
    assert "a passage is gone" not in page
    GoldenQuestion.objects.create(query="lost", relevant=["no-such-document"])
    page = client_as(viewer).get("/knowledge/golden/").content.decode()
    assert "a passage is gone" in page


def test_it_hides_names_of_documents_that_a_person_may_not_read(
    corpus, runs, client_as, viewer, admin
):
    GoldenQuestion.objects.create(query="x", relevant=["eop-test-crac#2"])
    Collection.objects.get(slug="tests").groups.add(Group.objects.create(name="electricians"))
    pages = (
        f"/knowledge/evaluation/{runs[0].pk}/",
        "/knowledge/golden/",
        f"/api/v1/knowledge/evaluations/{runs[0].pk}",
    )
    for page in pages:
        mine = client_as(viewer).get(page).content.decode()
        assert "eop-test-crac" not in mine, page
        assert "a document that you may not read" in mine, page
        assert "eop-test-crac" in client_as(admin).get(page).content.decode(), page


def test_it_shows_totals_only_of_a_held_set(runs, client_as, admin):
    held = runs[2]
    page = client_as(admin).get(f"/knowledge/evaluation/{held.pk}/").content.decode()
    assert "Totals only" in page
    assert "standby?" not in page
    body = client_as(admin).get(f"/api/v1/knowledge/evaluations/{held.pk}").json()
    assert body["held"] is True
    assert body["rows"] == []


def test_it_shows_runs_over_time_and_two_beside_each_other(runs, client_as, viewer):
    page = client_as(viewer).get("/knowledge/evaluation/").content.decode()
    start = page.index('id="evaluation-series"')
    data = json.loads(page[page.index(">", start) + 1 : page.index("</script>", start)])
    mine = next(item for item in data if item["name"] == "mine.tune")
    assert mine["lines"][0]["values"] == [0.25, 1.0]
    answers = next(item for item in data if item["name"] == "answers")
    assert [line["label"] for line in answers["lines"]] == ["supported", "citation recall"]
    compare = (
        client_as(viewer)
        .get(f"/knowledge/evaluation/compare/?before={runs[1].pk}&after={runs[0].pk}")
        .content.decode()
    )
    assert "1 better" in compare
    assert "+0.750" in compare
    assert client_as(viewer).get("/knowledge/evaluation/compare/?before=x").status_code == 404


def test_it_lists_runs_by_the_api(runs, client_as, viewer):
    client = client_as(viewer)
    body = client.get("/api/v1/knowledge/evaluations", {"name": "mine.tune"}).json()
    assert [run["figures"]["hybrid"]["mrr"] for run in body["results"]] == [1.0, 0.25]
    assert "rows" not in body["results"][0]
    detail = client.get(f"/api/v1/knowledge/evaluations/{runs[1].pk}").json()
    assert detail["rows"][0]["ranks"] == {"hybrid": 1}
    assert detail["created_by"]
    refused = client.get("/api/v1/knowledge/evaluations", {"kind": "x"})
    assert refused.status_code == 400
    assert client.get("/api/v1/knowledge/evaluations/999999").status_code == 404
    assert client.post("/api/v1/knowledge/evaluations", {}).status_code in (403, 405)


def test_it_asks_few_queries(corpus, runs, client_as, viewer, django_assert_max_num_queries):
    for number in range(20):
        GoldenQuestion.objects.create(query=f"q{number}", relevant=["eop-test-crac#2"])
    client = client_as(viewer)
    client.get("/knowledge/golden/")
    for page, count in (
        ("/knowledge/golden/", 12),
        ("/knowledge/evaluation/", 10),
        (f"/knowledge/evaluation/{runs[0].pk}/", 12),
        ("/api/v1/knowledge/evaluations", 6),
    ):
        with django_assert_max_num_queries(count):
            client.get(page)


def test_it_marks_the_words_that_matched():
    shown = snippet_html("The batteries of UPS <A> last; see XID 79.", ["batteri", "xid-79"])
    assert (
        shown
        == "The <mark>batteries</mark> of UPS &lt;A&gt; last; see <mark>XID</mark> <mark>79.</mark>"
    )
    far = snippet_html("word " * 100 + "needle tail", ["needl"])
    assert far.startswith("… word")
    assert "<mark>needle</mark>" in far
    assert snippet_html("", ["x"]) == ""
