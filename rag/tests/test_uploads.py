"""Uploads by REST: queued, unchanged, refused before anything is stored; imports and their state."""

import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from rag.intake.importing import collection_get_or_create
from rag.intake.jobs import jobs_work
from rag.models import Collection, Document, ImportJob, Revision, StoredFile
from rag.tests.corpus import UPS

DOCUMENTS, IMPORTS = "/api/v1/knowledge/documents", "/api/v1/knowledge/imports"


def upload(client, name="new.md", data: bytes | str = "# New\n\ntext", **fields):
    raw = data.encode() if isinstance(data, str) else data
    body = {"file": SimpleUploadedFile(name, raw), "collection": "up", "kind": "note", **fields}
    return client.post(DOCUMENTS, body)


def archive(**files: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


def test_it_answers_with_the_job_at_once(client_as, viewer, operator, embed_once):
    assert upload(client_as(viewer)).status_code == 403
    response = upload(client_as(operator), data=UPS)
    body = response.json()

    assert response.status_code == 202
    assert response["Location"] == body["url"] == f"{IMPORTS}/{body['id']}"
    assert (body["status"], body["state"], body["document"]) == ("queued", "queued", None)
    assert [job["id"] for job in body["jobs"]] == [body["id"]]

    jobs_work(seconds=600)
    done = client_as(viewer).get(body["url"]).json()
    assert (done["state"], done["document"], done["by"]) == ("done", "sop-test-ups", "operator")
    assert done["passages_done"] == done["passages_total"] == 3
    assert done["document_url"].startswith("/library/sop-test-ups/")


def test_it_says_when_nothing_changed(client_as, operator, embed_once):
    upload(client_as(operator), data=UPS)
    jobs_work(seconds=600)
    again = upload(client_as(operator), data=UPS)

    assert again.status_code == 200
    assert (again.json()["status"], again.json()["document"]["slug"]) == (
        "unchanged", "sop-test-ups",
    )  # fmt: skip
    assert ImportJob.objects.count() == 1
    changed = upload(client_as(operator), data=UPS + "\nMore.\n")
    assert changed.status_code == 202
    jobs_work(seconds=600)
    assert Revision.objects.count() == 2


def test_it_takes_a_zip_apart(client_as, operator, embed_once):
    data = archive(ups_md=UPS, sub__new_md="# New\n\ntext", picture_png=b"x", bad_pdf=b"nope")
    body = upload(client_as(operator), "pack.zip", data).json()

    paths = {job["source_path"] for job in body["jobs"]}
    assert paths == {"pack/ups.md", "pack/sub/new.md", "pack/bad.pdf"}
    assert {job["batch"] for job in body["jobs"]} == {body["batch"]}
    jobs_work(seconds=600)
    listed = client_as(operator).get(IMPORTS, {"batch": body["batch"]}).json()
    states = {job["source_path"]: job["state"] for job in listed["results"]}
    assert states == {"pack/ups.md": "done", "pack/sub/new.md": "done", "pack/bad.pdf": "failed"}


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("a.exe", b"MZ", 415, "unsupported"),
        ("a.pdf", b"hello", 400, "unreadable"),
        ("a.docx", b"hello", 400, "unreadable"),
        ("a.md", b"", 400, "empty"),
        ("a.zip", b"PK but broken", 400, "unreadable"),
        ("a.zip", archive(picture_png=b"x"), 400, "empty"),
        ("a.zip", b"PK" + b"\0" * 50 + b"PK\5\6" + b"\0" * 6 + b"\xff" * 12, 400, "unreadable"),
    ],
)
def test_it_refuses_before_anything_is_stored(client_as, operator, name, data, status, code):
    response = upload(client_as(operator), name, data)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"].startswith(name)
    assert not ImportJob.objects.exists()
    assert not StoredFile.objects.exists()
    assert not Collection.objects.exists()


def test_it_refuses_what_is_too_large(client_as, operator, monkeypatch):
    monkeypatch.setattr("rag.intake.uploads.MAX_DOCUMENT_BYTES", 2**20)
    response = upload(client_as(operator), data=b"x" * (2**20 + 1))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")

    monkeypatch.setattr("rag.intake.uploads.MAX_UNPACKED_UPLOAD_BYTES", 2**20)
    bomb = archive(a_txt=b"a " * 2**19, b_txt=b"b " * 2**19)
    response = upload(client_as(operator), "bomb.zip", bomb)
    assert (response.status_code, response.json()["code"]) == (400, "unreadable")
    assert "over the limit" in response.json()["detail"]
    assert not ImportJob.objects.exists()


def test_it_refuses_odd_forms(client_as, operator):
    client = client_as(operator)
    assert client.post(DOCUMENTS, {"collection": "x", "kind": "note"}).status_code == 400
    assert upload(client, kind="poem").status_code == 400
    assert upload(client, collection="not a slug").status_code == 400
    assert upload(client, batch="17").status_code == 400
    assert client.post(DOCUMENTS, "{}", content_type="application/json").status_code == 415


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("cooling/crac.md", "cooling/crac.md"),
        ("../../etc/crac.md", "etc/crac.md"),
        ("/cooling//./crac.md", "cooling/crac.md"),
        ("C:\\docs\\crac.md", "C:/docs/crac.md"),
        ("", "new.md"),
    ],
)
def test_it_keeps_the_path_within_a_dropped_folder(client_as, operator, path, stored):
    assert upload(client_as(operator), path=path).json()["source_path"] == stored


def test_it_asks_for_a_csrf_token(operator):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert upload(client).status_code == 403


def test_it_refuses_strangers(client, db):
    for path in (IMPORTS, f"{IMPORTS}/1", DOCUMENTS, "/api/v1/knowledge/embedding-models"):
        response = client.get(path)
        assert response.status_code in (401, 403)
        assert set(response.json()) >= {"code", "detail"}
    assert upload(client).status_code in (401, 403)


def test_it_lists_imports_by_filters_with_few_queries(
    client_as, viewer, operator, django_assert_max_num_queries
):
    for number in range(6):
        upload(client_as(operator), f"{number}.md", f"# {number}\n\ntext {number}")
    ImportJob.objects.filter(source_path="3.md").update(state="failed", note="because")
    client = client_as(viewer)
    with django_assert_max_num_queries(6):
        assert client.get(IMPORTS).json()["count"] == 6
    assert client.get(IMPORTS, {"state": "failed"}).json()["results"][0]["note"] == "because"
    assert client.get(IMPORTS, {"collection": "other"}).json()["count"] == 0
    one = ImportJob.objects.values_list("pk", flat=True)[0]
    assert client.get(IMPORTS, {"ids": f"{one},999999"}).json()["count"] == 1
    for bad in ({"state": "odd"}, {"batch": "x"}, {"ids": "1;2"}, {"origin": "moon"}):
        assert client.get(IMPORTS, bad).status_code == 400


def test_it_stops_and_restarts_imports(client_as, viewer, operator, supervisor, embed_once):
    made = upload(client_as(operator), data=UPS).json()
    cancel, retry = f"{made['url']}/cancel", f"{made['url']}/retry"

    assert client_as(viewer).post(cancel).status_code == 403
    assert client_as(operator).post(cancel).json()["state"] == "cancelled"
    assert client_as(operator).post(cancel).status_code == 409
    assert client_as(supervisor).post(retry).json()["state"] == "queued"
    jobs_work(seconds=600)
    done = client_as(operator).post(retry)
    assert (done.status_code, done.json()["code"]) == (409, "refused")
    assert Document.objects.count() == 1


def test_it_lets_operators_act_on_their_own_imports_only(client_as, operator, supervisor):
    made = upload(client_as(supervisor)).json()
    response = client_as(operator).post(f"{made['url']}/cancel")
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert ImportJob.objects.get().state == "queued"


def test_it_hides_imports_of_closed_collections(client_as, operator, admin):
    from django.contrib.auth.models import Group

    shelf = collection_get_or_create(slug="up")
    made = upload(client_as(operator)).json()
    shelf.groups.add(Group.objects.create(name="owners"))

    client = client_as(operator)
    assert client.get(IMPORTS).json()["count"] == 0
    assert client.get(made["url"]).status_code == 404
    assert client.post(f"{made['url']}/cancel").status_code == 404
    refused = upload(client, "other.md")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert "owners" not in refused.json()["detail"]
    assert client_as(admin).get(made["url"]).status_code == 200
