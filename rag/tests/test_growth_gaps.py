"""Gaps: found, counted, closed by what answers them, dismissed with a reason; by role."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from facilities.models import AlarmRule
from rag.access import OPEN_ONLY, Reader
from rag.growth.asking import procedure_for
from rag.growth.finders import feedback, flagged, imports, questions, reviews
from rag.growth.finders.questions import normalised
from rag.growth.gaps import (
    GapError,
    gap_assign,
    gap_check,
    gap_dismiss,
    gap_link,
    gap_reopen,
    gaps,
    gaps_refresh,
)
from rag.models import (
    ChatMessage,
    ChatSession,
    Collection,
    Document,
    Feedback,
    Gap,
    ImportJob,
    Revision,
)

QUESTION = "How is the fuel polishing plant started?"
ANSWER = """# Fuel polishing plant

## Start

The fuel polishing plant is started with key switch S7 and runs for 40 minutes.
"""


@pytest.fixture
def ask(db):
    """Return a function that stores a question with an answer of a mode."""

    def run(user, question: str, *, mode: str = "none", asked_as: str = "", citations=()):
        session, _ = ChatSession.objects.get_or_create(user=user, title="Test")
        ChatMessage.objects.create(session=session, role="user", text=question)
        return ChatMessage.objects.create(
            session=session,
            role="assistant",
            text="This is not in the documents.",
            mode=mode,
            asked_as=asked_as,
            citations=list(citations),
        )

    return run


@pytest.fixture
def no_rules(db):
    """A facility without alarm rules, so that a look costs no search."""
    AlarmRule.objects.all().delete()


def _refresh() -> dict[str, int]:
    return gaps_refresh(now=timezone.now())


class TestQuestions:
    def test_it_counts_a_question_however_it_is_written(
        self, ask, viewer, operator, no_rules, no_engine
    ):
        ask(viewer, QUESTION)
        ask(viewer, "how is the FUEL polishing plant started")
        ask(operator, "And how?", asked_as=QUESTION)
        ask(operator, "What is answered?", mode="quote")

        assert _refresh()["question"] == 1
        gap = Gap.objects.get()
        assert (gap.count, gap.detail["people"], gap.state) == (3, 2, "open")
        stored = f"{gap.title} {gap.detail} {gap.note}"
        assert "viewer" not in stored
        assert "operator" not in stored

    def test_it_stays_the_same_gap_at_the_next_look(self, ask, viewer, no_rules, no_engine):
        ask(viewer, QUESTION)
        _refresh()
        gap_assign(gap_id=Gap.objects.get().pk, owner="Mechanical team")
        ask(viewer, QUESTION)
        _refresh()
        gap = Gap.objects.get()
        assert (gap.count, gap.owner) == (2, "Mechanical team")

    def test_a_document_that_answers_closes_it_by_itself(
        self, ask, viewer, no_rules, import_text, engine
    ):
        ask(viewer, QUESTION)
        assert _refresh()["question"] == 1
        import_text("polishing.md", ANSWER)
        assert _refresh()["question"] == 0
        gap = Gap.objects.get()
        assert gap.state == "closed"
        assert gap.closing is not None
        assert gap.closing.title == "Fuel polishing plant"

    def test_naming_a_document_that_does_not_answer_closes_nothing(
        self, ask, viewer, operator, no_rules, corpus, engine
    ):
        ask(viewer, QUESTION)
        _refresh()
        filter_document = Document.objects.get(title="Air filter replacement")
        gap = gap_link(gap_id=Gap.objects.get().pk, document=filter_document, user=operator)
        assert gap.state == "open"
        assert "still not answered" in gap.note

    def test_a_closed_question_that_is_asked_in_vain_again_is_opened_again(
        self, ask, viewer, no_rules, no_engine
    ):
        ask(viewer, QUESTION)
        _refresh()
        Gap.objects.update(state="closed", decided_at=timezone.now())
        assert _refresh()["question"] == 0
        ask(viewer, QUESTION)
        assert _refresh()["question"] == 1

    def test_a_dismissed_question_stays_dismissed(self, ask, viewer, operator, no_rules, no_engine):
        ask(viewer, QUESTION)
        _refresh()
        gap = Gap.objects.get()
        with pytest.raises(GapError, match="needs a reason"):
            gap_dismiss(gap_id=gap.pk, user=operator, reason=" ")
        gap_dismiss(gap_id=gap.pk, user=operator, reason="We have no such plant")
        ask(viewer, QUESTION)
        assert _refresh()["question"] == 0
        with pytest.raises(GapError, match="is dismissed by operator"):
            gap_assign(gap_id=gap.pk, owner="x")
        assert gap_reopen(gap_id=gap.pk, user=operator).state == "open"
        with pytest.raises(GapError, match="is open already"):
            gap_reopen(gap_id=gap.pk, user=operator)

    def test_it_is_not_asked_again_while_no_document_changed(
        self, ask, viewer, no_rules, corpus, no_engine
    ):
        ask(viewer, QUESTION)
        _refresh()
        first = Gap.objects.get().checked_at
        assert first is not None
        _refresh()
        assert Gap.objects.get().checked_at == first

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("What does XID 79 mean?", "what does xid 79 mean", True),
            ("Is CRAC-2 at 27.5 °C?", "is crac-2 at 27.5 °c", True),
            ("Is CRAC-2 off?", "Is CRAC-3 off?", False),
            ("Is it 2.5?", "Is it 25?", False),
        ],
    )
    def test_what_counts_as_the_same_question(self, one, other, same):
        assert (normalised(one) == normalised(other)) is same


class TestAlarms:
    RULES = ("CRAC fault", "Water leak")

    @pytest.fixture
    def two_rules(self, demo_facility):
        AlarmRule.objects.exclude(name__in=self.RULES).delete()

    def test_an_alarm_without_procedure_is_a_gap_until_one_names_it(
        self, two_rules, import_text, no_engine
    ):
        assert _refresh()["alarm"] == 2
        import_text(
            "leak.md",
            "---\nid: EOP-LEAK\ntitle: Leak\nkind: eop\nalarms: [water  LEAK]\n---\n\n"
            "## Steps\n\n### Step 1 — Close the valve\n\nClose it.\n",
            kind="eop",
        )
        assert _refresh()["alarm"] == 1
        closed = Gap.objects.get(key="Water leak")
        assert closed.closing is not None
        assert (closed.state, closed.closing.slug) == ("closed", "eop-leak")
        assert Gap.objects.get(key="CRAC fault").state == "open"

        Document.objects.filter(slug="eop-leak").update(withdrawn_at=timezone.now())
        assert _refresh()["alarm"] == 2

    def test_a_procedure_whose_text_covers_the_alarm_counts(self, corpus, engine):
        asked = procedure_for(alarm="UPS on battery", question="UPS on battery")
        assert asked.title == "UPS on battery"
        nothing = procedure_for(alarm="Fire panel trouble", question="Fire panel trouble")
        assert nothing.document_id is None

    def test_a_procedure_closed_to_some_does_not_count(self, import_text, viewer, no_engine):
        import_text(
            "leak.md",
            "---\nid: EOP-LEAK\ntitle: Leak\nkind: eop\nalarms: [Water leak]\n---\n\nText.\n",
            kind="eop",
            collection="secret",
        )
        assert procedure_for(alarm="Water leak", question="Water leak").document_id is not None
        Collection.objects.get(slug="secret").groups.add(Group.objects.get(name="supervisor"))
        assert procedure_for(alarm="Water leak", question="Water leak").document_id is None

    def test_naming_a_document_that_does_not_cover_it_leaves_it_open(
        self, two_rules, corpus, operator, no_engine
    ):
        _refresh()
        gap = Gap.objects.get(key="Water leak")
        other = Document.objects.get(slug="sop-test-ups")
        assert gap_link(gap_id=gap.pk, document=other, user=operator).state == "open"


class TestDocuments:
    def test_a_review_that_is_due_is_a_gap_until_the_date_moves(
        self, import_text, no_rules, no_engine
    ):
        import_text("a.md", "# Alpha\n\ntext")
        import_text("b.md", "# Beta\n\ntext")
        today = timezone.now().date()
        Document.objects.filter(title="Alpha").update(owner="Power team")
        _due("Alpha", today - timedelta(days=1))
        _due("Beta", today + timedelta(days=31))
        assert _refresh()["review"] == 1
        gap = Gap.objects.get(kind="review")
        assert (gap.title, gap.owner, gap.detail["overdue"]) == ("Alpha", "Power team", True)
        _due("Beta", today + timedelta(days=30))
        assert _refresh()["review"] == 2
        _due("Alpha", today + timedelta(days=400))
        assert _refresh()["review"] == 1
        assert Gap.objects.get(pk=gap.pk).note == "It is no longer so."

    def test_only_the_last_import_of_a_file_counts(self, import_text):
        import_text("a.md", "# Alpha\n\ntext")
        shelf = Collection.objects.get(slug="tests")

        def job(state: str, path: str = "x.pdf") -> ImportJob:
            return ImportJob.objects.create(
                origin="upload", collection=shelf, kind="manual", source_path=path, state=state,
                note="x.pdf: is encrypted",
            )  # fmt: skip

        job("failed")
        job("failed", "y.pdf")
        job("done", "y.pdf")
        found = imports.find(now=timezone.now()).found
        assert [(gap.title, gap.detail["error"]) for gap in found] == [
            ("x.pdf", "x.pdf: is encrypted")
        ]
        job("unchanged")
        assert imports.find(now=timezone.now()).found == []

    def test_flagged_text_in_force_is_listed_by_revision(self, import_text):
        import_text("a.md", "# Alpha\n\ntext")
        Revision.objects.update(flags=[{"code": "hidden_text", "detail": "invisible text"}])
        [gap] = flagged.find(now=timezone.now()).found
        assert (gap.title, gap.key, gap.count) == ("Alpha", "alpha@1", 1)
        Revision.objects.update(flags=[])
        assert flagged.find(now=timezone.now()).found == []

    def test_two_bad_judgements_about_one_document_are_a_gap_until_it_is_revised(
        self, import_text, ask, viewer, operator
    ):
        import_text("a.md", "# Alpha\n\ntext")
        cited = [{"document": "alpha", "n": 1}]
        for user in (viewer, operator):
            message = ask(user, "What?", mode="answer", citations=cited)
            Feedback.objects.create(message=message, user=user, is_good=False, reason="wrong")
        good = ask(viewer, "What else?", mode="answer", citations=cited)
        Feedback.objects.create(message=good, user=viewer, is_good=True)

        [gap] = feedback.find(now=timezone.now()).found
        assert (gap.title, gap.count, gap.detail["people"]) == ("Alpha", 2, 2)
        assert gap.detail["reasons"] == {"It is wrong": 2}
        import_text("a.md", "# Alpha\n\nother text")
        assert feedback.find(now=timezone.now()).found == []

    def test_gaps_of_a_closed_collection_are_shown_to_its_readers_only(
        self, import_text, viewer, supervisor, no_rules, no_engine, client_as
    ):
        import_text("a.md", "# Alpha\n\ntext", collection="secret")
        _due("Alpha", date(2020, 1, 1))
        Collection.objects.get(slug="secret").groups.add(Group.objects.get(name="supervisor"))
        _refresh()
        assert not gaps(reader=OPEN_ONLY).exists()
        assert gaps(reader=Reader.of(supervisor)).count() == 1
        assert "Alpha" not in client_as(viewer).get("/knowledge/gaps/").content.decode()
        assert "Alpha" in client_as(supervisor).get("/knowledge/gaps/").content.decode()
        gap = Gap.objects.get()
        url = f"/api/v1/knowledge/gaps/{gap.pk}/dismiss"
        body = {"reason": "seen"}
        from ops_platform.roles import assign_role

        assign_role(viewer, "operator")
        answer = client_as(type(viewer).objects.get(pk=viewer.pk)).post(
            url, body, content_type="application/json"
        )
        assert answer.status_code == 404


def test_a_finder_that_fails_leaves_the_others_alone(
    ask, viewer, no_rules, no_engine, monkeypatch, caplog
):
    from rag.growth import gaps as module

    def broken(*, now):
        raise RuntimeError("no disk")

    monkeypatch.setattr(module, "FINDERS", (broken, questions.find, reviews.find))
    ask(viewer, QUESTION)
    assert _refresh()["question"] == 1
    assert "no disk" in caplog.text


def test_a_gap_that_is_unknown_says_so(db):
    with pytest.raises(GapError, match="does not exist"):
        gap_check(gap_id=1)


def _due(title: str, day: date) -> None:
    Revision.objects.filter(document__title=title).update(review_due=day)
