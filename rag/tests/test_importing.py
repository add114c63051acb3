"""Documents and revisions: unchanged, changed, resumed, refused."""

import datetime as dt
import io
import zipfile

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rag.intake import indexing
from rag.intake.embedding import EMBEDDING_MODEL, EmbedderMissing
from rag.intake.importing import collection_get_or_create, document_import
from rag.intake.indexing import revision_activate, revision_embed
from rag.models import Document, ImportJob, Passage, PassageVector, Revision, RevisionState
from rag.parsing import ParseError
from rag.retrieval.search import search
from rag.tasks import embed_revision, resume_imports
from rag.tests.corpus import CRAC, UPS


def stored(name: str, text: str, **kwargs):
    """Import without embedding."""
    shelf = collection_get_or_create(slug=kwargs.pop("collection", "tests"))
    return document_import(
        data=text.encode(), source_path=name, collection=shelf, kind=kwargs.get("kind", "manual")
    )


def test_it_takes_over_the_front_matter(import_text):
    document = import_text("x.md", CRAC).document
    revision = document.revisions.get()

    assert (document.slug, document.kind, document.title) == (
        "eop-test-crac", "eop", "CRAC unit failure",
    )  # fmt: skip
    assert (revision.number, revision.author, revision.approver) == (
        3, "Facility engineering", "Shift lead",
    )  # fmt: skip
    assert revision.effective_from == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    assert revision.meta["effective"] == "2026-03-01"
    assert "crac-4" in revision.passages.get(ordinal=1).codes


def test_it_does_nothing_for_an_unchanged_file(import_text):
    first = import_text("x.md", CRAC)
    again = import_text("x.md", CRAC)

    assert again.status == "unchanged"
    assert again.revision_id is None
    assert again.document == first.document
    assert Revision.objects.count() == 1


def test_it_serves_the_former_revision_until_the_new_one_is_embedded(import_text, no_engine):
    import_text("x.md", CRAC)
    outcome = stored("x.md", CRAC.replace("wait 30 s", "wait 45 s"))
    former, new = Revision.objects.order_by("number")

    assert outcome.status == "imported"
    assert "wait 30 s" in search(query="standby unit run command").hits[0].text
    assert not revision_activate(revision_id=new.pk), "passages without vectors never go in force"

    revision_embed(revision_id=new.pk)

    former.refresh_from_db()
    assert former.superseded_at is not None
    assert new.number == 4
    hits = search(query="standby unit run command", k=50).hits
    assert "wait 45 s" in hits[0].text
    assert all("wait 30 s" not in hit.text for hit in hits)


def test_it_keeps_the_former_in_force_until_the_new_takes_effect(import_text, no_engine):
    import_text("x.md", UPS)
    tomorrow = timezone.now() + dt.timedelta(days=1)
    import_text("x.md", UPS.replace("2026-01-15", tomorrow.isoformat()).replace("300 s", "240 s"))

    assert "300 s" in search(query="runtime shown").hits[0].text
    Revision.objects.filter(superseded_at__isnull=True).update(effective_from=timezone.now())
    Revision.objects.filter(superseded_at__isnull=False).update(superseded_at=timezone.now())
    assert "240 s" in search(query="runtime shown").hits[0].text


def test_it_supersedes_an_older_revision_that_finishes_late(db, embed_once):
    older = stored("x.md", UPS).revision_id
    newer = stored("x.md", UPS + "\nMore.\n").revision_id

    revision_embed(revision_id=newer)
    revision_embed(revision_id=older)

    assert Revision.objects.in_force().get().pk == newer


def test_it_resumes_embedding_where_it_stopped(db, embed_once, monkeypatch):
    revision_id = stored("x.md", CRAC).revision_id
    monkeypatch.setattr(indexing, "BATCH_SIZE", 1)
    working = indexing.embed_texts

    def broken(texts):
        if PassageVector.objects.count() == 2:
            raise EmbedderMissing("gone")
        return working(texts)

    monkeypatch.setattr(indexing, "embed_texts", broken)
    with pytest.raises(EmbedderMissing):
        revision_embed(revision_id=revision_id)
    assert Revision.objects.get().state == RevisionState.FAILED

    monkeypatch.setattr(indexing, "embed_texts", working)
    assert stored("x.md", CRAC).revision_id == revision_id, "the same file takes it up again"
    assert revision_embed(revision_id=revision_id) == 2
    assert Revision.objects.get().state == RevisionState.READY


def test_it_embeds_unit_vectors_in_the_task(db):
    revision_id = stored("x.md", UPS).revision_id

    count = embed_revision.apply(args=(revision_id,)).get()

    vectors = list(PassageVector.objects.select_related("model"))
    assert count == len(vectors) == Passage.objects.count() > 0
    for vector in vectors:
        assert (vector.model.name, vector.model.state) == (EMBEDDING_MODEL, "serving")
        assert sum(float(x) ** 2 for x in vector.embedding) == pytest.approx(1, abs=1e-3)


def test_it_queues_lost_imports_again(db, monkeypatch):
    revision_id = stored("x.md", UPS).revision_id
    assert resume_imports() == 0, "a fresh import is left to its worker"
    Revision.objects.update(created_at=timezone.now() - dt.timedelta(hours=1))
    assert resume_imports() == 1
    assert Revision.objects.get().pk == revision_id


def test_it_refuses_an_id_of_another_collection(import_text):
    import_text("x.md", CRAC)
    with pytest.raises(ParseError, match=r"already belongs to 'x\.md' in collection 'tests'"):
        stored("y.md", CRAC, collection="other")


@pytest.mark.parametrize(
    ("front", "message"),
    [("kind: poem", "kind 'poem' is not one of"), ("effective: soon", "'soon' is not a date")],
)
def test_it_refuses_front_matter_that_makes_no_sense(db, front, message):
    with pytest.raises(ParseError, match=message):
        stored("x.md", f"---\n{front}\n---\ntext")
    assert not Document.objects.exists()


def test_it_gives_documents_of_the_same_title_different_slugs(db):
    slugs = {stored(f"{n}/a.md", f"# Same title\n\ntext {n}").document.slug for n in range(3)}
    assert slugs == {"same-title", "same-title-2", "same-title-3"}


def test_it_imports_folders_and_archives_and_reports_each_file(db, tmp_path, capsys):
    folder = tmp_path / "manuals"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "ups.md").write_text(UPS)
    (folder / "README.md").write_text("# about")
    (folder / "broken.pdf").write_bytes(b"nope")
    (folder / "picture.png").write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("crac.md", CRAC)
        archive.writestr("../evil.md", "# Evil\n\ntext")
    call_command(
        "import_documents", str(folder), str(tmp_path / "more.zip"), collection="c", kind="manual"
    )
    shown = capsys.readouterr()

    assert "imported   manuals/sub/ups.md · UPS on battery (3 passages)" in shown.out
    assert "2 imported, 0 unchanged, 1 failed in collection 'c'" in shown.out
    assert "broken.pdf: is not a PDF" in shown.err
    assert "No worker answers" in shown.out
    assert Document.objects.filter(source_path="more/crac.md").exists()
    assert not (tmp_path / "evil.md").exists()


def test_it_embeds_in_the_command_when_no_worker_answers(db, tmp_path, capsys, no_engine):
    (tmp_path / "a.md").write_text(UPS)
    call_command("import_documents", str(tmp_path), collection="c", wait=True)
    shown = capsys.readouterr().out

    assert "embedding here" in shown
    assert "embedded 3/3 passages, 0 documents to go" in shown
    assert search(query="runtime shown above 300 s").hits[0].document == "sop-test-ups"
    assert ImportJob.objects.get().state == ImportJob.State.DONE

    call_command("import_documents", str(tmp_path), collection="c", wait=True)
    assert "0 imported, 1 unchanged, 0 failed" in capsys.readouterr().out
    assert ImportJob.objects.count() == 1, "an unchanged file leaves no job"


def test_it_names_paths_that_do_not_exist(db, tmp_path):
    with pytest.raises(CommandError, match="no such file or folder"):
        call_command("import_documents", str(tmp_path / "x"), collection="c")


def test_it_refuses_archive_bombs(db, tmp_path, capsys):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.txt", b"a " * (14 * 2**20))
        archive.writestr("ok.md", "# Fine\n\ntext")
    (tmp_path / "bomb.zip").write_bytes(buffer.getvalue())
    call_command("import_documents", str(tmp_path / "bomb.zip"), collection="c")
    shown = capsys.readouterr()

    assert "1 imported, 0 unchanged, 1 failed" in shown.out
    assert "big.txt: is over 25 MiB" in shown.err
