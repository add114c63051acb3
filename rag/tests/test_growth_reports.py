"""Outcome reports: drafts, release into the knowledge base, dismissal, undo; by role."""

import pytest

from rag.growth.reports import (
    ReportError,
    plain,
    references_known,
    released,
    report_dismiss,
    report_release,
    report_reopen,
    report_submit,
    report_withdraw,
)
from rag.intake.indexing import revision_embed
from rag.models import Collection, Document, OutcomeReport
from rag.retrieval.search import search

BODY = """# Outcome: Start standby CRAC 4 (effect verified)

Start standby CRAC 4 was proposed by the agent. Result: effect verified.

## What was measured

- Before: 29.1 °C
- After: 26.4 °C, 512 s after the write
"""


@pytest.fixture
def draft(db) -> OutcomeReport:
    return report_submit(
        reference="proposal-17",
        title="Outcome: Start standby CRAC 4 (effect verified)",
        body=BODY,
        facts={"kind": "start_standby_crac", "target_kind": "crac", "state": "verified"},
        url="/approvals/17/",
    )


@pytest.fixture
def release(draft, embed_once, supervisor):
    """Return a function that releases the draft and embeds it."""

    def run(note: str = "") -> OutcomeReport:
        report = report_release(report_id=draft.pk, user=supervisor, note=note)
        assert report.document is not None
        for revision in report.document.revisions.filter(state="importing"):
            revision_embed(revision_id=revision.pk)
        return report

    return run


def test_it_writes_a_report_once(draft):
    again = report_submit(reference="proposal-17", title="Other", body="other", facts={})
    assert again.pk == draft.pk
    assert again.body == BODY
    assert references_known(["proposal-17", "proposal-18"]) == {"proposal-17"}


def test_a_released_report_is_found_as_experience_and_never_among_procedures(release, no_engine):
    report = release("Worked as in March.")

    assert report.state == "released"
    assert (report.document.kind, report.document.collection.slug) == ("report", "experience")
    revision = report.document.revisions.get()
    assert revision.approver == "supervisor"
    text = "\n".join(revision.passages.values_list("text", flat=True))
    assert "512 s after the write" in text
    assert "supervisor: Worked as in March." in text
    assert [hit.kind for hit in search(query="start standby CRAC 4", kinds=["report"]).hits][
        :1
    ] == ["report"]
    assert search(query="start standby CRAC 4", kinds=["eop", "sop", "mop"]).hits == []
    assert [row.reference for row in released(kind="start_standby_crac", target_kind="crac")] == [
        "proposal-17"
    ]
    assert not released(kind="set_fan_speed").exists()
    assert "released" in report.document.events.values_list("action", flat=True)


def test_undoing_a_release_withdraws_it_and_it_can_be_released_again(
    release, supervisor, no_engine
):
    report = release()
    report_withdraw(report_id=report.pk, user=supervisor, reason="Wrong unit named")

    assert Document.objects.get(pk=report.document_id).withdrawn_at is not None
    assert search(query="start standby CRAC 4").hits == []
    assert not released().exists()

    again = release("Now with a note")
    assert again.document_id == report.document_id
    assert Document.objects.get(pk=again.document_id).withdrawn_at is None
    assert released().exists()
    assert "Now with a note" in search(query="note of the supervisor CRAC 4").hits[0].text or any(
        "Now with a note" in passage.text
        for revision in again.document.revisions.in_force()
        for passage in revision.passages.all()
    )


def test_a_closed_collection_keeps_its_experience_from_the_agent(release, admin):
    report = release()
    from django.contrib.auth.models import Group

    Collection.objects.get(slug="experience").groups.add(Group.objects.get(name="admin"))
    assert not released().exists()
    assert OutcomeReport.objects.get(pk=report.pk).state == "released"


def test_only_one_of_two_decisions_counts(draft, supervisor):
    report_dismiss(report_id=draft.pk, user=supervisor, reason="A drill")
    with pytest.raises(ReportError, match="is dismissed by supervisor"):
        report_release(report_id=draft.pk, user=supervisor)
    assert report_reopen(report_id=draft.pk, user=supervisor).state == "draft"
    with pytest.raises(ReportError, match="needs a reason"):
        report_dismiss(report_id=draft.pk, user=supervisor, reason="  ")
    with pytest.raises(ReportError, match="does not exist"):
        report_dismiss(report_id=draft.pk + 1, user=supervisor, reason="x")


def test_words_of_people_are_no_markdown():
    assert plain("a [link](http://evil) <b>\n# x `y` *z*") == (
        "a \\[link\\](http://evil) \\<b\\> \\# x \\`y\\` \\*z\\*"
    )


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("operator", 403), ("supervisor", 200), ("admin", 200)]
)
def test_who_may_release(draft, embed_once, client_as, request, role, status):
    client = client_as(request.getfixturevalue(role))
    assert (
        client.get("/api/v1/knowledge/reports").json()["results"][0]["reference"] == "proposal-17"
    )
    answer = client.post(
        f"/api/v1/knowledge/reports/{draft.pk}/release",
        {"note": ""},
        content_type="application/json",
    )
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["document"] == "report-proposal-17"
    else:
        assert answer.json()["code"] == "permission_denied"
        assert OutcomeReport.objects.get().state == "draft"


def test_the_api_says_what_is_wrong(draft, client_as, supervisor, client):
    mine = client_as(supervisor)
    url = f"/api/v1/knowledge/reports/{draft.pk}"
    without = mine.post(f"{url}/dismiss", {}, content_type="application/json")
    assert (without.status_code, without.json()["code"]) == (400, "reason_required")
    early = mine.post(f"{url}/withdraw", {"reason": "x"}, content_type="application/json")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    assert mine.get("/api/v1/knowledge/reports?state=odd").status_code == 400
    assert client.get("/api/v1/knowledge/reports").status_code == 403
    assert client.get("/knowledge/reports/").url.startswith("/login/")


@pytest.mark.parametrize("role", ["viewer", "supervisor"])
def test_the_page_shows_reports_and_offers_the_release_to_supervisors(
    draft, client_as, request, role, django_assert_max_num_queries
):
    client = client_as(request.getfixturevalue(role))
    client.get("/knowledge/reports/")
    with django_assert_max_num_queries(11):
        page = client.get("/knowledge/reports/").content.decode()
    assert "Start standby CRAC 4" in page
    assert "512 s after the write" in page
    assert ('data-do="release"' in page) == (role == "supervisor")
    assert "No report waits" not in page
    assert (
        "Nothing was released yet"
        in client.get("/knowledge/reports/?state=released").content.decode()
    )
