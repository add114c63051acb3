"""Chat, library and viewer as viewer, operator, supervisor and stranger."""

import pytest
from django.urls import reverse

from rag.models import ChatMessage, ChatSession, Document

PAGES = ["/chat/", "/library/", "/library/?q=standby+CRAC", "/library/eop-test-crac/"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_every_page_to_every_role(corpus, no_engine, request, client_as, role, page):
    response = client_as(request.getfixturevalue(role)).get(page)
    assert response.status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_it_sends_strangers_to_the_log_in(corpus, client, page):
    response = client.get(page)
    assert response.status_code == 302
    assert response.url.startswith("/login/")


def test_it_offers_the_upload_to_operators_only(corpus, client_as, viewer, operator):
    assert b'id="upload"' not in client_as(viewer).get("/library/").content
    assert b'id="upload"' in client_as(operator).get("/library/").content


def test_it_explains_hits(corpus, no_engine, client_as, viewer):
    page = client_as(viewer).get("/library/", {"q": "standby CRAC-4"}).content.decode()

    assert "CRAC unit failure" in page
    assert "BM25" in page
    assert "found by full text only" in page


def test_it_filters_the_library(corpus, client_as, viewer):
    page = client_as(viewer).get("/library/", {"kind": "eop"}).content.decode()
    assert "CRAC unit failure" in page
    assert "UPS on battery" not in page
    nothing = client_as(viewer).get("/library/", {"collection": "none"}).content.decode()
    assert "No documents here" in nothing
    assert client_as(viewer).get("/library/", {"kind": "x'--", "page": "z"}).status_code == 200


def test_it_anchors_passages(corpus, client_as, viewer):
    page = client_as(viewer).get("/library/eop-test-crac/").content.decode()

    for anchor in ("p-1", "p-2", "p-3", "p-4"):
        assert f'id="{anchor}"' in page
    assert "Step 2 — Start the standby CRAC" in page
    assert "<strong>Verify:</strong>" in page
    assert "in force" in page


def test_it_shows_earlier_revisions_with_a_banner(import_text, client_as, viewer):
    import_text("x.md", "# Title\n\nold text")
    import_text("x.md", "# Title\n\nnew text")
    client = client_as(viewer)

    assert "new text" in client.get("/library/title/").content.decode()
    old = client.get("/library/title/?revision=1").content.decode()
    assert "old text" in old
    assert "Superseded on" in old
    assert client.get("/library/title/?revision=9").status_code == 404
    assert client.get("/library/unknown/").status_code == 404


HOSTILE = """# <img src=x onerror=alert(1)>

<script>alert(1)</script>

[click](javascript:alert(1)) ![picture](https://evil.example/pixel.png) [ok](https://example.org)
[local](../../admin/)

<iframe src="https://evil.example"></iframe> `<b>code</b>`
"""


def test_it_escapes_hostile_documents(import_text, client_as, viewer):
    slug = import_text("hostile.md", HOSTILE).document.slug
    page = client_as(viewer).get(f"/library/{slug}/").content.decode()
    body = page[page.index('class="card doc__body"') : page.index("</article>")]

    for bad in (
        "<script",
        "<img",
        "<iframe",
        'href="javascript',
        "evil.example/pixel",
        'href="../',
    ):
        assert bad not in body, bad
    assert 'href="https://example.org"' in body
    assert 'rel="noopener noreferrer nofollow"' in body


def test_it_keeps_plain_text_plain(import_text, client_as, viewer):
    import_text("a.txt", "Line *one*\nline <b>two</b>")
    page = client_as(viewer).get("/library/a/").content.decode()
    assert "Line *one*<br>line &lt;b&gt;two&lt;/b&gt;" in page


def test_it_reopens_a_conversation_of_ones_own(client_as, viewer, operator):
    session = ChatSession.objects.create(user=viewer, title="About pumps")
    ChatMessage.objects.create(session=session, role="user", text="</script><b>pump?")
    url = f"{reverse('rag:chat')}?session={session.pk}"

    page = client_as(viewer).get(url).content.decode()
    assert "About pumps" in page
    assert "</script><b>pump?" not in page
    assert client_as(operator).get(url).status_code == 404
    assert "About pumps" not in client_as(operator).get("/chat/").content.decode()
    assert client_as(viewer).get("/chat/?session=x").status_code == 404


def test_it_pins_the_number_of_queries(corpus, client_as, viewer, django_assert_max_num_queries):
    client = client_as(viewer)
    for _ in range(3):
        client.get("/library/")
    with django_assert_max_num_queries(11):
        client.get("/library/")
    with django_assert_max_num_queries(12):
        client.get("/library/eop-test-crac/")
    with django_assert_max_num_queries(6):
        client.get("/chat/")


def test_it_registers_every_model_in_the_admin(corpus, client_as, admin):
    client = client_as(admin)
    for model in ("collection", "document", "revision", "passage", "chatsession", "chatmessage"):
        assert client.get(f"/admin/rag/{model}/").status_code == 200
    document = Document.objects.get(slug="eop-test-crac")
    assert client.get(f"/admin/rag/document/{document.pk}/change/").status_code == 200
    passage = document.revisions.get().passages.get(ordinal=1)
    assert client.get(f"/admin/rag/passage/{passage.pk}/change/").status_code == 200
