"""The viewer: revisions, cited passages, pages of PDFs, differences, the original file."""

import io
import struct

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rag.models import Collection, Document, OutcomeReport, Passage, Revision, StoredFile
from rag.rendering import passage_html
from rag.tests.pdf_files import pdf_file
from rag.viewing import page_images
from rag.viewing.differences import passages_compare, words_compare
from rag.viewing.page_images import PageError, cache_prune, draw

PROCEDURE = """# Pump change

## Steps

### Step 1 — Stop the pump

Stop pump {pump} and close valve V-12. Wait {seconds} s.

### Step 2 — Vent

Open the vent until no air comes out.
{extra}"""


def _procedure(pump: str = "CHWP-1", seconds: int = 30, extra: str = "") -> str:
    return PROCEDURE.format(pump=pump, seconds=seconds, extra=extra)


@pytest.fixture
def pump(import_text) -> Document:
    """Two revisions: the second waits longer and has one step more."""
    import_text("pump.md", _procedure(), kind="mop")
    extra = "\n### Step 3 — Start\n\nStart the other pump.\n"
    import_text("pump.md", _procedure(seconds=60, extra=extra), kind="mop")
    return Document.objects.get(slug="pump-change")


@pytest.fixture
def manual(import_text, settings, tmp_path) -> Document:
    """A PDF of three pages, drawn into a cache of the test's own."""
    settings.DATA_DIR = tmp_path
    sections = (
        ("Before you begin", "The first breaker feeds the racks beside the door."),
        ("Isolation", "Isolate the feeder before breaker Q2 feeds anything."),
        ("Spare parts", "Spare fuses are kept near breaker Q3 feeds and sockets."),
    )
    pages = [
        f"BT /F2 20 Tf 72 650 Td ({heading}) Tj ET BT /F1 11 Tf 72 600 Td ({text}) Tj ET"
        for heading, text in sections
    ]
    import_text("manual.pdf", pdf_file(pages))
    return Document.objects.get(source_path="manual.pdf")


class TestRevisions:
    def test_a_citation_opens_its_own_revision_and_marks_its_passage(self, pump, client_as, viewer):
        client = client_as(viewer)
        old = Passage.objects.get(revision__document=pump, revision__number=1, step=1)
        assert old.get_absolute_url() == f"/library/pump-change/?revision=1#p-{old.ordinal}"

        page = client.get("/library/pump-change/", {"passage": old.pk}).content.decode()
        assert "Wait 30 s" in page
        assert "Superseded on" in page
        assert f'<section class="passage is-cited" id="{old.anchor}"' in page
        assert page.count("is-cited") == 1
        assert "Wait 60 s" in client.get("/library/pump-change/").content.decode()
        assert client.get("/library/pump-change/?passage=999999").status_code == 404

    def test_a_passage_of_another_document_is_not_shown_here(
        self, pump, import_text, client_as, viewer
    ):
        import_text("b.md", "# Beta\n\ntext")
        other = Passage.objects.get(revision__document__slug="beta")
        assert client_as(viewer).get(f"/library/pump-change/?passage={other.pk}").status_code == 404

    @pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
    def test_only_those_who_may_are_offered_to_withdraw(self, pump, client_as, request, role):
        page = client_as(request.getfixturevalue(role)).get("/library/pump-change/?revision=1")
        may = role in ("supervisor", "admin")
        assert ('data-change="withdraw"' in page.content.decode()) == may
        assert ('data-change="put-in-force"' in page.content.decode()) == may

    def test_it_shows_what_is_due_flagged_and_withdrawn(self, pump, client_as, viewer):
        Revision.objects.filter(number=2).update(
            review_due="2020-01-01",
            flags=[{"code": "hidden_text", "detail": "invisible text was left out", "page": 4}],
        )
        page = client_as(viewer).get("/library/pump-change/").content.decode()
        assert "Review was due on 2020-01-01" in page
        assert "invisible text was left out" in page
        Document.objects.update(withdrawn_at=timezone.now())
        page = client_as(viewer).get("/library/pump-change/").content.decode()
        assert "Answers do not use this document" in page

    def test_it_says_that_a_report_is_no_procedure(self, import_text, client_as, viewer):
        import_text("r.md", "# Outcome\n\ntext", kind="report")
        document = Document.objects.get(slug="outcome")
        OutcomeReport.objects.create(
            reference="proposal-3", title="x", body="y", url="/approvals/3/", document=document
        )
        page = client_as(viewer).get("/library/outcome/").content.decode()
        assert "Experience from the records, not a procedure" in page
        assert 'href="/approvals/3/"' in page

    def test_a_long_text_is_read_in_parts_and_a_citation_finds_its_part(
        self, import_text, client_as, viewer
    ):
        import_text("long.md", "# Long\n\nText number 0.")
        revision = Revision.objects.get()
        Passage.objects.bulk_create(
            Passage(
                revision=revision, ordinal=n, anchor=f"p-{n}", section_path=["Long", f"Section {n}"],
                text=f"Text number {n}.", words=3,
            )
            for n in range(2, 302)
        )  # fmt: skip
        client = client_as(viewer)
        first = client.get("/library/long/").content.decode()
        assert "Part 1 of 3" in first
        assert "Text number 5." in first
        assert "Text number 250." not in first
        target = Passage.objects.get(text__contains="Text number 250.")
        page = client.get(f"/library/long/?at={target.ordinal}").content.decode()
        assert "Part 3 of 3" in page
        assert f'class="passage is-cited" id="{target.anchor}"' in page
        for odd in ("part=99", "part=x", "at=99999999", "page=-1", "passage=", "revision=1e3"):
            assert client.get(f"/library/long/?{odd}").status_code == 200

    def test_it_pins_the_number_of_queries(
        self, pump, manual, client_as, viewer, django_assert_max_num_queries
    ):
        client = client_as(viewer)
        client.get("/library/pump-change/")
        with django_assert_max_num_queries(12):
            client.get("/library/pump-change/")
        with django_assert_max_num_queries(13):
            client.get(f"/library/{manual.slug}/?page=2")


class TestComparison:
    def test_it_shows_changed_words_and_added_steps(self, pump, client_as, viewer):
        page = client_as(viewer).get("/library/pump-change/compare/").content.decode()
        assert "<del>30</del><ins>60</ins>" in page
        assert "<ins>Start the other pump.</ins>" in page
        assert "1 changed, 1 added, 0 removed" in page

        back = client_as(viewer).get("/library/pump-change/compare/?from=2&to=1").content.decode()
        assert "<del>30</del><ins>60</ins>" in back

    def test_there_is_nothing_to_compare_with_one_revision(self, import_text, client_as, viewer):
        import_text("a.md", "# Alpha\n\ntext")
        assert client_as(viewer).get("/library/alpha/compare/").status_code == 404

    def test_hostile_words_stay_words(self, import_text, client_as, viewer):
        import_text("a.md", "# Alpha\n\nplain")
        import_text("a.md", "# Alpha\n\n<script>alert(1)</script>")
        page = client_as(viewer).get("/library/alpha/compare/").content.decode()
        assert "&lt;" in page
        assert "<script>alert" not in page

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=80), st.text(max_size=80))
    def test_both_texts_can_be_read_back_from_the_difference(self, old, new):
        pieces = list(words_compare(old, new))
        assert "".join(p.text for p in pieces if p.mark != "removed") == new
        assert "".join(p.text for p in pieces if p.mark != "added") == old

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.sampled_from("abcdefg"), max_size=9),
        st.lists(st.sampled_from("abcdefg"), max_size=9),
    )
    def test_every_passage_of_both_revisions_is_accounted_for(self, old, new):
        def passages(letters):
            return [
                Passage(ordinal=n, text=f"{letter} " * 5, digest=letter, section_path=[letter])
                for n, letter in enumerate(letters, 1)
            ]

        found = passages_compare(passages(old), passages(new))
        assert found.same + found.changed + found.removed == len(old)
        assert found.same + found.changed + found.added == len(new)


class TestPages:
    def test_it_shows_the_page_of_the_cited_passage_with_its_place(self, manual, client_as, viewer):
        passage = Passage.objects.get(revision__document=manual, page=2)
        Passage.objects.filter(pk=passage.pk).update(
            boxes=[[2, 72, 80.5, 300, 95], [9, 1, 1, 2, 2]]
        )
        client = client_as(viewer)
        page = client.get(f"/library/{manual.slug}/?passage={passage.pk}").content.decode()
        assert f"/library/{manual.slug}/pages/2.png?revision=1" in page
        assert 'x="72.0" y="80.5" width="228.0" height="14.5" class="is-cited"' in page
        assert page.count("<rect data-anchor") == 1
        assert "breaker Q2 feeds" in page
        assert "breaker Q3 feeds" not in page
        text = client.get(f"/library/{manual.slug}/?view=text").content.decode()
        assert "breaker Q3 feeds" in text
        assert "<rect data-anchor" not in text
        assert "of 3" in client.get(f"/library/{manual.slug}/?page=99").content.decode()

    def test_the_reader_places_boxes_on_the_printed_words(self, manual):
        """The box that the parser gives has ink in it, and the rest of the page has none."""
        passage = Passage.objects.get(revision__document=manual, page=2)
        assert passage.boxes, "the parser gave no boxes"
        data = bytes(StoredFile.objects.get().data)
        picture = Image.open(io.BytesIO(draw(data, page=2, scale=2.0))).convert("L")
        inside = 0
        for _, left, top, right, bottom in passage.boxes:
            area = picture.crop(
                (int(left * 2), int(top * 2), int(right * 2) + 1, int(bottom * 2) + 1)
            )
            inside += sum(area.histogram()[:128])
        heading = picture.crop((0, 0, picture.width, int(passage.boxes[0][2] * 2) - 4))
        assert inside > 0
        assert inside + sum(heading.histogram()[:128]) > 0.98 * sum(picture.histogram()[:128])

    def test_a_passage_over_two_pages_is_shown_on_both(self, manual, client_as, viewer):
        passage = Passage.objects.get(revision__document=manual, page=2)
        Passage.objects.filter(pk=passage.pk).update(
            boxes=[[2, 72, 700, 300, 720], [3, 72, 60, 300, 75]]
        )
        page = client_as(viewer).get(f"/library/{manual.slug}/?page=3").content.decode()
        assert "breaker Q2 feeds" in page
        assert "breaker Q3 feeds" in page
        assert f'<rect data-anchor="{passage.anchor}" x="72.0" y="60.0"' in page

    def test_it_draws_a_page_once(self, manual, client_as, viewer, tmp_path, monkeypatch):
        client = client_as(viewer)
        url = f"/library/{manual.slug}/pages/1.png?scale=1"
        first = client.get(url)
        assert (first.status_code, first["Content-Type"]) == (200, "image/png")
        assert struct.unpack(">II", first.content[16:24]) == (612, 792)
        assert len(list((tmp_path / "page-images").glob("*.png"))) == 1

        def never(*_args, **_kwargs):
            raise AssertionError("drawn twice")

        monkeypatch.setattr(page_images, "draw", never)
        assert client.get(url).content == first.content
        for odd in ("scale=nan", "scale=x", "scale=1e9"):
            monkeypatch.undo()
            assert client.get(f"/library/{manual.slug}/pages/1.png?{odd}").status_code == 200

    def test_pages_that_are_not_there(self, manual, pump, client_as, viewer):
        client = client_as(viewer)
        assert client.get(f"/library/{manual.slug}/pages/4.png").status_code == 404
        assert client.get(f"/library/{manual.slug}/pages/0.png").status_code == 404
        assert client.get("/library/pump-change/pages/1.png").status_code == 404
        assert client.get("/library/nothing/pages/1.png").status_code == 404

    def test_a_hostile_page_costs_one_child_and_one_sentence(self):
        endless = pdf_file(["q 1 0 0 1 0 0 cm " + "0 0 m 600 700 l S " * 400_000])
        with pytest.raises(PageError) as slow:
            draw(endless, page=1, scale=3.0, seconds=1)
        assert slow.value.code in ("too_slow", "unreadable")
        with pytest.raises(PageError, match="cannot be opened"):
            draw(b"%PDF-1.4 nonsense", page=1, scale=1.0)
        huge = pdf_file(["BT ET"], boxes="[0 0 14400 14400]")
        picture = Image.open(io.BytesIO(draw(huge, page=1, scale=3.0)))
        assert picture.width * picture.height <= page_images.MAX_PIXELS * 1.01

    def test_the_cache_stays_within_its_bound(self, settings, tmp_path):
        settings.DATA_DIR = tmp_path
        folder = tmp_path / "page-images"
        folder.mkdir()
        for number in range(5):
            path = folder / f"{number}.png"
            path.write_bytes(b"x" * 100)
            import os

            os.utime(path, (number, number))
        assert cache_prune(max_bytes=250) == 3
        assert sorted(path.name for path in folder.iterdir()) == ["3.png", "4.png"]


def test_tables_of_plain_text_are_tables_and_their_cells_stay_data():
    table = "Table 3. <b>Fuses</b>\n| ID | Fuse |\n|---|---|\n| 1 | <script>x</script> [a](javascript:x) |"
    html = passage_html(text=f"Before.\n\n{table}\n\n| not | a table |", markup="text")
    assert html.count("<table>") == 1
    assert "<p>Table 3. &lt;b&gt;Fuses&lt;/b&gt;</p>" in html
    assert "<th>Fuse</th>" in html
    assert "<td>1</td>" in html
    assert "<p>| not | a table |</p>" in html
    assert "<script" not in html
    assert "javascript" not in html or "href" not in html


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["|word|", "|---|", "word", "", "| - |"]), max_size=8))
def test_no_word_of_a_plain_text_is_lost(lines):
    text = "\n".join(lines)
    assert passage_html(text=text, markup="text").count("word") == text.count("word")


class TestAccess:
    PATHS = ("", "compare/", "file", "pages/1.png")

    def test_a_closed_document_does_not_exist_for_others(
        self, manual, client_as, viewer, supervisor
    ):
        Collection.objects.get().groups.add(Group.objects.get(name="supervisor"))
        for path in self.PATHS:
            assert client_as(viewer).get(f"/library/{manual.slug}/{path}").status_code == 404, path
        for path in ("", "file", "pages/1.png"):
            assert client_as(supervisor).get(f"/library/{manual.slug}/{path}").status_code == 200
        assert manual.source_path not in client_as(viewer).get("/library/").content.decode()

    def test_strangers_are_sent_to_the_log_in(self, manual, client):
        for path in self.PATHS:
            answer = client.get(f"/library/{manual.slug}/{path}")
            assert answer.status_code == 302
            assert answer.url.startswith("/login/")

    def test_the_original_is_saved_never_shown(self, import_text, client_as, viewer):
        import_text('dir/Böse "name".html', "<h1>Hello</h1><script>alert(1)</script>")
        document = Document.objects.get()
        answer = client_as(viewer).get(f"/library/{document.slug}/file")
        assert answer.status_code == 200
        assert answer.content.startswith(b"<h1>Hello")
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"] == 'attachment; filename="B_se_name-rev1.html"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer["Content-Security-Policy"]
