"""The library's list: filters, counts, order, who sees and may do what."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.access import OPEN_ONLY
from rag.models import Collection, Document, Revision
from rag.viewing.shelf import Filters, shelf, shelf_counts


def _titles(**filters) -> list[str]:
    return [d.title for d in shelf(reader=OPEN_ONLY, filters=Filters(**filters))]


@pytest.fixture
def shelves(import_text) -> None:
    """Alpha in force, Beta withdrawn, Gamma failed, Delta later, Epsilon importing."""
    for name, kind, collection in (
        ("alpha", "manual", "one"),
        ("beta", "eop", "one"),
        ("gamma", "sop", "two"),
        ("delta", "manual", "two"),
        ("epsilon", "note", "two"),
    ):
        import_text(f"{name}.md", f"# {name.title()}\n\ntext", kind=kind, collection=collection)
    Document.objects.filter(slug="beta").update(withdrawn_at=timezone.now())
    Revision.objects.filter(document__slug="gamma").update(state="failed", error="broken")
    Revision.objects.filter(document__slug="delta").update(
        effective_from=timezone.now() + timedelta(days=3)
    )
    Revision.objects.filter(document__slug="epsilon").update(state="importing")


def test_each_document_is_in_exactly_one_state(shelves):
    assert _titles(state="in_force") == ["Alpha"]
    assert _titles(state="withdrawn") == ["Beta"]
    assert _titles(state="failed") == ["Gamma"]
    assert _titles(state="later") == ["Delta"]
    assert _titles(state="importing") == ["Epsilon"]
    counts = shelf_counts(reader=OPEN_ONLY)
    states = ("in_force", "importing", "failed", "later", "withdrawn")
    assert [counts[state] for state in states] == [1, 1, 1, 1, 1]
    assert counts["all"] == 5


def test_it_filters_by_what_a_document_is_about(shelves):
    today = timezone.now().date()
    Document.objects.filter(slug="alpha").update(owner="Power team")
    Revision.objects.filter(document__slug="alpha").update(
        review_due=today - timedelta(days=1), flags=[{"code": "x", "detail": "y"}]
    )
    assert _titles(collection="two") == ["Delta", "Epsilon", "Gamma"]
    assert _titles(kind="eop") == ["Beta"]
    assert _titles(owner="Power team") == ["Alpha"]
    assert "Alpha" not in _titles(owner="unassigned")
    assert _titles(review="overdue") == ["Alpha"]
    assert _titles(review="soon") == []
    assert _titles(flagged=True) == ["Alpha"]
    assert _titles(text="ALPH team") == ["Alpha"]
    assert _titles(text="alpha beta") == []
    assert _titles(sort="kind")[0] == "Beta"
    assert _titles(sort="review")[0] == "Alpha"
    counts = shelf_counts(reader=OPEN_ONLY)
    assert (counts["overdue"], counts["flagged"], counts["none"]) == (1, 1, 4)


def test_a_flagged_revision_that_waits_is_shown_to_its_approver(import_text):
    import_text("a.md", "# Alpha\n\none")
    import_text("a.md", "# Alpha\n\ntwo")
    Revision.objects.filter(number=2).update(
        state="importing", flags=[{"code": "instructions", "detail": "reads like orders"}]
    )
    Revision.objects.filter(number=1).update(superseded_at=None)
    assert _titles(flagged=True) == ["Alpha"]


def test_closed_shelves_are_neither_listed_nor_counted(shelves, client_as, viewer, supervisor):
    Collection.objects.get(slug="one").groups.add(Group.objects.get(name="supervisor"))
    page = client_as(viewer).get("/library/").content.decode()
    assert "Alpha" not in page
    assert ">One (" not in page
    assert shelf_counts(reader=OPEN_ONLY)["all"] == 3
    assert "Alpha" in client_as(supervisor).get("/library/").content.decode()
    hidden = client_as(viewer).get("/library/?q=Alpha").content.decode()
    assert 'class="hit"' not in hidden or "Alpha</span>" not in hidden


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_offers_what_the_role_may_do(shelves, client_as, request, role):
    page = client_as(request.getfixturevalue(role)).get("/library/").content.decode()
    assert ('id="upload"' in page) == (role != "viewer")
    assert ('id="bulk"' in page) == (role in ("supervisor", "admin"))


def test_it_is_never_broken_by_odd_filters(shelves, client_as, viewer):
    client = client_as(viewer)
    odd = "?kind=x&state=y&review=z&sort=q&owner=%00&text=%00%27&flagged=maybe&page=-1"
    assert client.get(f"/library/{odd}").status_code == 200
    assert "No document matches these filters" in client.get("/library/?text=zzz").content.decode()


def test_it_pins_the_number_of_queries(
    shelves, client_as, supervisor, django_assert_max_num_queries
):
    client = client_as(supervisor)
    client.get("/library/")
    with django_assert_max_num_queries(11):
        client.get("/library/")
