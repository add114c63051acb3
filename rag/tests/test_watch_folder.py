"""The watch folder: taken when they stand still, once; links, broken and deleted files."""

import os
import uuid

import pytest

from rag.intake.jobs import jobs_work
from rag.intake.watching import folder_look
from rag.models import Document, ImportJob, Revision, WatchedFile
from rag.tasks import look_at_watch_folder
from rag.tests.corpus import LEAK, UPS


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "watched"
    (root / "procedures" / "sop").mkdir(parents=True)
    return root


def write(path, text: str, mtime: int) -> None:
    path.write_text(text)
    os.utime(path, (mtime, mtime))


def look_twice(folder) -> int:
    return folder_look(folder=folder) + folder_look(folder=folder)


def test_it_takes_a_file_that_stands_still_over_two_looks(db, folder, embed_once):
    path = folder / "procedures" / "sop" / "leak.txt"
    write(path, LEAK, 1_000)
    assert folder_look(folder=folder) == 0
    write(path, LEAK + "\nMore is being written.\n", 1_001)
    assert folder_look(folder=folder) == 0, "it has just grown"
    assert folder_look(folder=folder) == 1
    assert folder_look(folder=folder) == 0

    jobs_work(seconds=600)
    document = Document.objects.get()
    assert (document.collection.slug, document.kind) == ("procedures", "sop")
    assert document.source_path == "procedures/sop/leak.txt"
    assert ImportJob.objects.get().origin == "watch"


def test_it_hashes_only_what_changed(db, folder, embed_once, monkeypatch):
    path = folder / "procedures" / "leak.txt"
    write(path, LEAK, 1_000)
    look_twice(folder)
    jobs_work(seconds=600)
    write(path, LEAK, 2_000)
    assert look_twice(folder) == 0, "touched, the same bytes"
    monkeypatch.setattr("rag.intake.watching.digest_of", None)
    assert look_twice(folder) == 0, "nothing changed: not even read"
    assert ImportJob.objects.count() == 1


def test_it_makes_a_new_revision_of_a_changed_file(db, folder, embed_once):
    path = folder / "procedures" / "ups.md"
    write(path, UPS, 1_000)
    look_twice(folder)
    jobs_work(seconds=600)
    write(path, UPS.replace("300 s", "240 s"), 2_000)
    look_twice(folder)
    jobs_work(seconds=600)
    assert Revision.objects.in_force().get().number == 2


def test_it_keeps_the_document_of_a_deleted_file(db, folder, embed_once):
    path = folder / "procedures" / "ups.md"
    write(path, UPS, 1_000)
    look_twice(folder)
    jobs_work(seconds=600)
    path.unlink()
    folder_look(folder=folder)
    assert WatchedFile.objects.get().missing_since is not None
    assert Revision.objects.in_force().count() == 1

    write(path, UPS, 1_000)
    assert folder_look(folder=folder) == 0
    assert WatchedFile.objects.get().missing_since is None


def test_it_fails_a_broken_file_once(db, folder):
    path = folder / "procedures" / "bad.pdf"
    write(path, "%PDF-1.7 broken", 1_000)
    look_twice(folder)
    jobs_work(seconds=600)
    assert look_twice(folder) == 0, "not tried again"
    assert ImportJob.objects.get().state == "failed"

    write(path, "%PDF-1.7 broken too", 2_000)
    assert look_twice(folder) == 1, "until it changes"


def test_it_refuses_links_that_lead_outside(db, folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("outside")
    (folder / "procedures" / "link.txt").symlink_to(secret)
    write(folder / "procedures" / "real.txt", LEAK, 1_000)
    (folder / "procedures" / "inside.txt").symlink_to(folder / "procedures" / "real.txt")
    (folder / "outside").symlink_to(tmp_path)

    assert look_twice(folder) == 2
    assert "leads outside" in WatchedFile.objects.get(path="procedures/link.txt").problem
    assert set(ImportJob.objects.values_list("source_path", flat=True)) == {
        "procedures/real.txt", "procedures/inside.txt",
    }  # fmt: skip


def test_it_does_not_follow_a_file_that_became_a_link(db, folder, tmp_path):
    """Swapped between the look and the opening."""
    from rag.intake import watching

    (tmp_path / "secret.txt").write_text("outside")
    path = folder / "procedures" / "a.txt"
    path.symlink_to(tmp_path / "secret.txt")
    facts = path.stat()
    row = WatchedFile.objects.create(
        path="procedures/a.txt", size=facts.st_size, mtime_ns=facts.st_mtime_ns,
        seen_at="2026-01-01T00:00Z",
    )  # fmt: skip
    assert watching._take(folder.resolve(), row, uuid.uuid4()) == 0
    row.refresh_from_db()
    assert "leads outside" in row.problem
    assert not ImportJob.objects.exists()


def test_it_names_what_it_cannot_take(db, folder):
    write(folder / "stray.md", "# Stray\n\ntext", 1_000)
    write(folder / "procedures" / ".hidden.md", "# Hidden\n\ntext", 1_000)
    write(folder / "procedures" / "picture.png", "x", 1_000)
    (folder / "procedures" / os.fsdecode(b"caf\xe9.md")).write_text("# x\n\ntext")
    assert look_twice(folder) == 0
    problems = dict(WatchedFile.objects.values_list("path", "problem"))
    assert set(problems) == {"stray.md", "procedures/caf?.md"}
    assert "lies in no collection's folder" in problems["stray.md"]
    assert "not UTF-8" in problems["procedures/caf?.md"]


def test_it_is_off_without_a_folder(db, settings, folder, tmp_path):
    settings.WATCH_DIR = None
    assert look_at_watch_folder() == 0
    settings.WATCH_DIR = tmp_path / "not there"
    assert look_at_watch_folder() == 0
    write(folder / "procedures" / "ups.md", UPS, 1_000)
    settings.WATCH_DIR = folder
    assert look_at_watch_folder() + look_at_watch_folder() == 1
    assert not [path for path in folder.rglob("*") if path.name != "ups.md" and path.is_file()]
