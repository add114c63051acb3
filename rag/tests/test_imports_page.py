"""The imports page: states, errors, progress of a new model, watch folder; by role."""

import datetime as dt

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.intake.importing import collection_get_or_create
from rag.intake.jobs import jobs_work
from rag.models import EmbeddingModel, ImportJob, WatchedFile
from rag.tests.corpus import UPS
from rag.tests.test_import_jobs import queue

PAGE = "/knowledge/imports/"


def shown(client, **query) -> str:
    response = client.get(PAGE, query)
    assert response.status_code == 200
    return response.content.decode()


def test_it_sends_strangers_to_the_login(client, db):
    response = client.get(PAGE)
    assert (response.status_code, response["Location"]) == (302, f"/login/?next={PAGE}")


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_shows_each_file_with_its_state(db, request, client_as, role, embed_once):
    queue(UPS, "ups.md")
    queue(b"%PDF-1.7 broken", "bad.pdf")
    jobs_work(seconds=600)
    queue(UPS + "\nMore.\n", "later.md")
    page = shown(client_as(request.getfixturevalue(role)))

    assert "UPS on battery" in page
    assert "bad.pdf: " in page
    assert "3/3" in page
    assert ("data-act=" in page) is (role == "supervisor"), "not their own, not their button"


def test_it_offers_operators_their_own_buttons(client_as, operator, viewer):
    queue(UPS, "mine.md", user=operator)
    assert 'data-act="cancel">' in shown(client_as(operator))
    assert "data-act=" not in shown(client_as(viewer))


def test_it_filters(client_as, viewer, embed_once):
    queue(UPS, "ups.md")
    queue(b"%PDF-1.7 broken", "bad.pdf")
    jobs_work(seconds=600)
    client = client_as(viewer)
    assert "UPS on battery" not in shown(client, state="failed")
    assert "bad.pdf" not in shown(client, state="done")
    assert "Nothing matches" in shown(client, text="zebra", collection="tests", origin="watch")
    assert "bad.pdf" in shown(client, text="BAD.PDF", state="odd", origin="moon", page="x")


def test_it_is_empty_at_first(client_as, viewer):
    page = shown(client_as(viewer))
    assert "Nothing has been imported yet" in page
    assert "looked at every 30 seconds" not in page


def test_it_hides_what_lies_in_closed_collections(client_as, viewer, admin, settings, tmp_path):
    settings.WATCH_DIR = tmp_path
    queue(UPS, "secret.md")
    now = timezone.now()
    for path in ("tests/gone-secret.md", "stray.md", "open/gone.md"):
        WatchedFile.objects.create(
            path=path, size=1, mtime_ns=1, seen_at=now, missing_since=now, is_taken=True
        )
    collection_get_or_create(slug="tests").groups.add(Group.objects.create(name="owners"))
    collection_get_or_create(slug="open")

    page = shown(client_as(viewer))
    assert "looked at every 30 seconds" in page
    assert "secret" not in page
    assert "stray.md" not in page
    assert "open/gone.md" in page
    assert "gone-secret.md" in shown(client_as(admin))


def test_it_says_when_no_worker_takes_anything(client_as, viewer, db):
    queue(UPS)
    assert "no worker has taken any" not in shown(client_as(viewer))
    ImportJob.objects.update(created_at=timezone.now() - dt.timedelta(minutes=2))
    assert "no worker has taken any" in shown(client_as(viewer))


def test_it_shows_a_model_that_is_being_filled(client_as, viewer, import_text):
    import_text("ups.md", UPS)
    EmbeddingModel.objects.create(
        name="turned", path="/x", dimensions=128, error="waits for a server"
    )
    page = shown(client_as(viewer))
    assert "Embedding model turned is being filled" in page
    assert "waits for a server" in page
    rows = client_as(viewer).get("/api/v1/knowledge/embedding-models").json()
    assert [(row["name"], row["state"], row["done"], row["total"]) for row in rows] == [
        ("turned", "building", 0, 3), ("all-MiniLM-L6-v2", "serving", 3, 3),
    ]  # fmt: skip


def test_it_asks_few_queries(client_as, viewer, django_assert_max_num_queries):
    for number in range(12):
        queue(f"# {number}\n\ntext", f"{number}.md", user=viewer)
    client = client_as(viewer)
    with django_assert_max_num_queries(12):
        shown(client)
