"""Who reads what: collections with groups, roles that nest, nothing leaks to strangers."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group

from rag.access import OPEN_ONLY, Reader, collections_of
from rag.intake.importing import collection_get_or_create
from rag.models import Collection
from rag.retrieval.search import search
from rag.tests.corpus import LEAK, UPS

QUERY = "runtime shown above"
COLLECTIONS = "/api/v1/knowledge/collections"


@pytest.fixture
def night_shift(db) -> Group:
    return Group.objects.create(name="night shift")


@pytest.fixture
def shelves(import_text, night_shift, no_engine) -> None:
    """One document that only the night shift reads, one for everybody."""
    import_text("secret.md", UPS, collection="secret")
    import_text("open.txt", LEAK, collection="open", kind="note")
    Collection.objects.get(slug="secret").groups.add(night_shift)


def finds(user) -> bool:
    reader = user if isinstance(user, Reader) else Reader.of(user)
    return bool(search(query=QUERY, reader=reader).hits)


def test_it_finds_closed_documents_for_members_only(
    shelves, night_shift, viewer, operator, supervisor, admin
):
    operator.groups.add(night_shift)

    assert finds(operator)
    assert finds(admin), "superusers read everything"
    assert not finds(viewer)
    assert not finds(supervisor), "a higher role is no member of another group"
    assert not finds(OPEN_ONLY), "what the agent reads as"
    assert not finds(AnonymousUser())
    assert not search(query=QUERY, reader=Reader.of(viewer), collection="secret").hits

    operator.groups.remove(night_shift)
    assert not finds(operator), "the next search finds nothing"


def test_it_suggests_no_word_of_a_closed_collection(
    shelves, import_text, night_shift, viewer, operator
):
    import_text("w.txt", "The flibbergast valve is behind the wall.", collection="secret")
    operator.groups.add(night_shift)

    def added(user) -> str:
        found = search(query="where is the flibergast valve", reader=Reader.of(user))
        return " ".join(found.explanation.added)

    assert "flibbergast" in added(operator)
    assert "flibbergast" not in added(viewer)
    Collection.objects.get(slug="secret").groups.clear()
    assert "flibbergast" in added(viewer), "opened: from the next search on"
    Collection.objects.get(slug="secret").groups.add(night_shift)
    assert "flibbergast" not in added(viewer), "closed again: from the next search on"


def test_it_nests_roles(shelves, viewer, operator, supervisor):
    shelf = Collection.objects.get(slug="secret")
    shelf.groups.set([Group.objects.get(name="operator")])

    assert finds(operator)
    assert finds(supervisor), "reads what operators read"
    assert not finds(viewer)

    shelf.groups.set([Group.objects.get(name="supervisor")])
    assert finds(supervisor)
    assert not finds(operator)


def test_it_asks_for_groups_once(viewer, django_assert_num_queries):
    with django_assert_num_queries(1):
        Reader.of(viewer)
    assert Reader.of(viewer).key == Reader.of(viewer).key


def test_it_hides_closed_documents_from_lists_and_by_name(
    shelves, client_as, viewer, operator, night_shift
):
    operator.groups.add(night_shift)
    for user, is_visible in ((viewer, False), (operator, True)):
        client = client_as(user)
        listed = client.get("/api/v1/knowledge/documents").json()["results"]
        assert ("sop-test-ups" in {row["slug"] for row in listed}) is is_visible
        detail = client.get("/api/v1/knowledge/documents/sop-test-ups")
        assert detail.status_code == (200 if is_visible else 404)
        slugs = {row["slug"] for row in client.get(COLLECTIONS).json()["results"]}
        assert ("secret" in slugs) is is_visible
        assert client.get(f"{COLLECTIONS}/secret").status_code == (200 if is_visible else 404)


def test_it_does_not_tell_whose_an_id_is(shelves, client_as, operator, night_shift, embed_once):
    """An operator uploads a file with the id of a document that they may not read."""
    from rag.intake.jobs import jobs_work
    from rag.models import ImportJob
    from rag.tests.test_uploads import upload

    upload(client_as(operator), "mine.md", UPS, collection="open")
    jobs_work(seconds=600)
    note = ImportJob.objects.get().note
    assert note == "mine.md: id SOP-TEST-UPS is already in use; change the id"


def test_it_lets_supervisors_make_and_close_collections(
    client_as, viewer, operator, supervisor, night_shift, client
):
    new = {"slug": "vault", "name": "Vault", "groups": ["night shift", "supervisor"]}
    assert client.post(COLLECTIONS, new).status_code in (401, 403)
    for person in (viewer, operator):
        refused = client_as(person).post(COLLECTIONS, new, content_type="application/json")
        assert refused.status_code == 403
        assert "rag.change_collection" in refused.json()["detail"]

    boss = client_as(supervisor)
    made = boss.post(COLLECTIONS, new, content_type="application/json")
    assert made.status_code == 201
    assert sorted(made.json()["groups"]) == ["night shift", "supervisor"]
    assert client_as(viewer).get(f"{COLLECTIONS}/vault").status_code == 404

    changes = {"slug": "other", "groups": [], "description": "for all"}
    changed = boss.patch(f"{COLLECTIONS}/vault", changes, content_type="application/json")
    assert (changed.json()["slug"], changed.json()["groups"]) == ("vault", [])
    assert client_as(viewer).get(f"{COLLECTIONS}/vault").json()["description"] == "for all"
    wrong = boss.patch(
        f"{COLLECTIONS}/vault", {"groups": ["nobody"]}, content_type="application/json"
    )
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert boss.post(COLLECTIONS, new, content_type="application/json").status_code == 400


def test_it_lists_collections_with_few_queries(client_as, viewer, django_assert_max_num_queries):
    for number in range(8):
        collection_get_or_create(slug=f"c{number}")
    client = client_as(viewer)
    with django_assert_max_num_queries(6):
        assert client.get(COLLECTIONS).json()["count"] == 8


def test_it_reads_open_collections_without_any_group(viewer):
    viewer.groups.clear()
    collection_get_or_create(slug="open")
    assert collections_of(Reader.of(viewer)).count() == 1
