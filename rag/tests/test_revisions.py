"""What is in force at a time; withdraw, restore, put back; decisions by role."""

import datetime as dt
import random

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.intake.importing import collection_get_or_create
from rag.intake.indexing import revision_put
from rag.intake.lifecycle import (
    LifecycleRefused,
    document_move,
    document_restore,
    document_withdraw,
    revision_put_in_force,
)
from rag.models import (
    Collection,
    Document,
    DocumentEvent,
    ImportJob,
    PassageVector,
    Revision,
    RevisionState,
)
from rag.retrieval.search import search
from rag.tests.corpus import CRAC, UPS

DAY = dt.timedelta(days=1)


def dated(text: str, day: str) -> str:
    return text.replace("2026-01-15", day)


def at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)


def test_it_answers_with_what_was_in_force_at_the_time(import_text, no_engine):
    import_text("x.md", UPS)
    import_text("x.md", dated(UPS, "2026-05-01").replace("300 s", "240 s"))

    assert "300 s" in search(query="runtime shown", at=at("2026-03-01")).hits[0].text
    assert "240 s" in search(query="runtime shown", at=at("2026-06-01")).hits[0].text
    assert "240 s" in search(query="runtime shown").hits[0].text
    assert search(query="runtime shown", at=at("2026-01-01")).hits == []
    old, new = Revision.objects.order_by("number")
    assert old.superseded_at == new.effective_from == at("2026-05-01")


def test_it_puts_an_undated_change_in_force_when_it_is_ready(import_text, no_engine):
    import_text("x.md", UPS)
    import_text("x.md", UPS.replace("300 s", "240 s"))

    yesterday = timezone.now() - DAY
    assert "300 s" in search(query="runtime shown", at=yesterday).hits[0].text
    assert "240 s" in search(query="runtime shown").hits[0].text


def test_it_takes_over_the_review_date(import_text):
    import_text("x.md", UPS.replace("kind: sop", "kind: sop\nnext_review: 2027-01-15"))
    import_text("y.md", CRAC.replace("risk: high", "review: annual"))
    dues = dict(Revision.objects.values_list("document__slug", "review_due"))
    assert dues == {"sop-test-ups": dt.date(2027, 1, 15), "eop-test-crac": None}


def test_it_keeps_title_and_kind_until_the_change_is_in_force(import_text, db):
    from rag.tests.test_importing import stored

    import_text("x.md", UPS)
    outcome = stored("x.md", UPS.replace("UPS on battery", "UPS discharging"))
    assert Document.objects.get().title == "UPS on battery"
    from rag.intake.indexing import revision_embed

    revision_embed(revision_id=outcome.revision_id)
    assert Document.objects.get().title == "UPS discharging"


@pytest.mark.parametrize("seed", range(30))
def test_it_has_at_most_one_revision_in_force_at_any_time(db, seed):
    """Random revisions, declared in the past, now and in the future, activated in random order."""
    chance = random.Random(seed)
    shelf = Collection.objects.create(slug="s", name="s")
    document = Document.objects.create(
        collection=shelf, slug="d", title="d", kind="sop", source_path="d", sha256="0"
    )
    revisions = []
    for number in range(1, 6):
        days = chance.choice([None, -40, -20, -10, 0, 10, 20])
        starts = timezone.now() + DAY * (days or 0)
        meta = {} if days is None else {"effective": starts.isoformat()}
        revisions.append(
            Revision.objects.create(
                document=document, number=number, effective_from=starts, meta=meta, sha256=number
            )
        )
    chance.shuffle(revisions)
    for revision in revisions:
        revision_put(revision=revision, document=document)
    probes = [timezone.now() + DAY * n for n in range(-45, 45)]
    for probe in probes:
        assert Revision.objects.in_force(probe).count() <= 1
    last = Revision.objects.get(number=5)
    assert last.superseded_at is None
    assert Revision.objects.in_force(timezone.now() + 40 * DAY).get() == last


def test_it_withdraws_with_a_reason_and_restores(import_text, no_engine, supervisor):
    document = import_text("x.md", UPS).document
    with pytest.raises(LifecycleRefused, match="needs a reason"):
        document_withdraw(document=document, user=supervisor, reason=" ")

    document_withdraw(document=document, user=supervisor, reason="unsafe")
    assert search(query="runtime shown").hits == []
    with pytest.raises(LifecycleRefused, match="already withdrawn"):
        document_withdraw(document=document, user=supervisor, reason="unsafe")

    document_restore(document=document, user=supervisor)
    assert search(query="runtime shown").hits
    with pytest.raises(LifecycleRefused, match="is not withdrawn"):
        document_restore(document=document, user=supervisor)
    events = DocumentEvent.objects.order_by("-id").values_list("action", "user__username", "reason")
    assert list(events[:2]) == [
        ("restored", "supervisor", ""),
        ("withdrawn", "supervisor", "unsafe"),
    ]


def test_it_puts_an_earlier_revision_back_in_force(import_text, no_engine, supervisor):
    import_text("x.md", UPS)
    wrong = import_text("x.md", UPS.replace("300 s", "3 s").replace("on battery", "broken"))
    old = Revision.objects.get(number=1)

    back = revision_put_in_force(revision=old, user=supervisor, reason="3 s was a typing error")

    assert (back.number, back.state, back.meta["reinstates"]) == (3, RevisionState.READY, 1)
    assert "300 s" in search(query="runtime shown").hits[0].text
    assert PassageVector.objects.filter(passage__revision=back).count() == 3
    document = Document.objects.get()
    assert document.title == "UPS on battery"
    assert Revision.objects.in_force().get() == back
    assert Revision.objects.get(number=2).superseded_at == back.effective_from
    again = import_text("x.md", UPS.replace("300 s", "3 s").replace("on battery", "broken"))
    assert (again.status, wrong.status) == ("unchanged", "imported"), "the mistake is known bytes"
    with pytest.raises(LifecycleRefused, match="in force already"):
        revision_put_in_force(revision=back, user=supervisor, reason="x")
    with pytest.raises(LifecycleRefused, match="needs a reason"):
        revision_put_in_force(revision=old, user=supervisor, reason="")


URL = "/api/v1/knowledge/documents/sop-test-ups"


def post(client, path: str, **body):
    return client.post(URL + path, body, content_type="application/json")


def test_it_lets_supervisors_decide_by_rest(
    import_text, client_as, viewer, operator, supervisor, client
):
    import_text("x.md", UPS)
    import_text("x.md", UPS + "\nMore.\n")
    for path in ("/withdraw", "/restore", "/revisions/1/put-in-force"):
        assert post(client, path, reason="x").status_code in (401, 403)
        for person in (viewer, operator):
            refused = post(client_as(person), path, reason="x")
            assert refused.status_code == 403
            assert "rag.change_document" in refused.json()["detail"]

    boss = client_as(supervisor)
    assert post(boss, "/withdraw").status_code == 409, "a reason is needed"
    assert post(boss, "/withdraw", reason="unsafe").json()["withdrawn_at"]
    assert post(boss, "/restore").json()["withdrawn_at"] is None
    body = post(boss, "/revisions/1/put-in-force", reason="the new one is wrong").json()
    assert [(item["number"], item["is_in_force"]) for item in body["revisions"]] == [
        (3, True), (2, False), (1, False),
    ]  # fmt: skip
    assert body["events"][0]["action"] == "reinstated"
    assert body["events"][0]["by"] == "supervisor"
    assert post(boss, "/revisions/9/put-in-force", reason="x").status_code == 404
    assert post(boss, "-not/withdraw", reason="x").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_shows_a_document_with_its_history(import_text, client_as, request, role):
    import_text("x.md", UPS)
    body = client_as(request.getfixturevalue(role)).get(URL).json()
    assert (body["slug"], body["revisions"][0]["number"]) == ("sop-test-ups", 1)
    assert [event["action"] for event in body["events"]] == ["activated", "imported"]


def test_it_moves_a_document_to_another_shelf_and_back(
    import_text, no_engine, client_as, viewer, operator, supervisor, client
):
    night = Group.objects.create(name="night shift")
    import_text("x.md", UPS, collection="plant")
    import_text("y.md", CRAC, collection="office")
    closed = collection_get_or_create(slug="closed")
    closed.groups.add(night)
    wanted = {"collection": "office", "reason": "wrong shelf"}
    assert post(client, "/move", **wanted).status_code in (401, 403)
    for person in (viewer, operator):
        assert post(client_as(person), "/move", **wanted).status_code == 403
    boss = client_as(supervisor)
    assert post(boss, "/move", collection="office").status_code == 409, "a reason is needed"
    assert post(boss, "/move", reason="x").status_code == 400
    assert post(boss, "/move", **(wanted | {"collection": "closed"})).status_code == 404
    assert "already" in post(boss, "/move", **(wanted | {"collection": "plant"})).json()["detail"]

    moved = post(boss, "/move", **wanted).json()

    assert moved["collection"] == "office"
    assert moved["events"][0]["action"] == "moved"
    assert moved["events"][0]["reason"] == "From Plant to Office: wrong shelf"
    assert not search(query="runtime shown", collection="plant").hits
    assert search(query="runtime shown", collection="office").hits[0].document == "sop-test-ups"
    supervisor.groups.add(night)
    assert post(boss, "/move", **(wanted | {"collection": "closed"})).status_code == 200
    assert "sop-test-ups" not in {hit.document for hit in search(query="runtime shown").hits}
    assert post(client_as(operator), "/move", **wanted).status_code == 403
    assert post(boss, "/move", **(wanted | {"collection": "plant"})).json()["collection"] == "plant"


def test_it_does_not_move_onto_the_same_path_or_while_it_is_imported(
    import_text, no_engine, supervisor
):
    document = import_text("x.md", UPS, collection="plant").document
    other = import_text("x.md", CRAC, collection="office").document
    office = other.collection
    with pytest.raises(LifecycleRefused, match=r"Office holds .* from the same path \(x\.md\)"):
        document_move(document=document, collection=office, user=supervisor, reason="x")
    empty = collection_get_or_create(slug="empty")
    job = ImportJob.objects.create(
        origin="upload", collection=document.collection, kind="sop", source_path="x.md"
    )
    with pytest.raises(LifecycleRefused, match="is being imported"):
        document_move(document=document, collection=empty, user=supervisor, reason="x")
    ImportJob.objects.filter(pk=job.pk).update(state="done")

    moved = document_move(document=document, collection=empty, user=supervisor, reason="x")

    assert moved.collection == empty
    assert import_text("x.md", UPS, collection="empty").status == "unchanged"
