"""Changing the embedding model: filled beside the one that serves, switched in one commit, back."""

import shutil
import uuid

import pytest
from django.core.management import CommandError, call_command

from kvserve.client import LLMRefused
from rag.intake.embedding import EMBEDDING_MODEL, EmbedderMissing, serving_model
from rag.intake.importing import collection_get_or_create, document_import
from rag.intake.indexing import revision_embed
from rag.intake.switching import (
    SwitchRefused,
    fill_progress,
    fill_resume,
    fill_work,
    model_back,
    model_start,
    model_stop,
    models_drop,
)
from rag.llm import embed_queries, embedding_problem
from rag.models import EmbeddingModel, Passage, PassageVector, Revision
from rag.retrieval.search import search
from rag.tests.corpus import CRAC, LEAK, UPS
from rag.tests.second_model import DIMENSIONS, save_second_model

QUERY = "How long does the battery last?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The second model, saved once."""
    return save_second_model(tmp_path_factory.mktemp("models") / f"turned-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def served(folder, engine, settings):
    """The second model where the test's kvserve serves it."""
    place = settings.DATA_DIR / "embedders" / folder.name
    place.parent.mkdir(exist_ok=True)
    shutil.copytree(folder, place)
    yield place
    shutil.rmtree(place)


def lengths() -> set[int]:
    """Dimensions of the vectors that the serving model made."""
    rows = PassageVector.objects.filter(model=serving_model())
    return {len(row.embedding) for row in rows}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_serves_by_the_old_model_until_the_new_one_is_complete(import_text, served, capsys):
    import_text("ups.md", UPS)
    import_text("crac.md", CRAC)
    old = serving_model()
    assert search(query=QUERY).hits[0].document == "sop-test-ups"

    call_command("change_embedding_model", served.name)
    model = EmbeddingModel.objects.get(name=served.name)
    assert (model.dimensions, model.state) == (DIMENSIONS, "building")
    assert model.path == str(served), "found in the data folder"
    assert serving_model() == old
    while_filling = search(query=QUERY)
    assert (while_filling.degraded, while_filling.hits[0].document) == ("", "sop-test-ups")

    late = document_import(
        data=LEAK.encode(),
        source_path="late.txt",
        collection=collection_get_or_create(slug="tests"),
        kind="note",
    )
    revision_embed(revision_id=late.revision_id or 0)
    while fill_work(seconds=0.1):
        assert EmbeddingModel.objects.filter(state="serving").count() == 1

    assert serving_model().name == served.name
    assert lengths() == {DIMENSIONS}
    assert fill_progress(serving_model()) == (Passage.objects.count(), Passage.objects.count())
    found = search(query=QUERY)
    assert (found.degraded, found.hits[0].document) == ("", "sop-test-ups")
    assert len(found.query_vector or []) == DIMENSIONS
    call_command("change_embedding_model", status=True)
    shown = capsys.readouterr().out
    assert f"serving   {served.name} · 128 dimensions · 8/8 passages" in shown
    assert "retired   all-MiniLM-L6-v2 · 384 dimensions · 8/8 passages · bundled" in shown

    changed = document_import(
        data=(LEAK + "\nCall the shift lead.\n").encode(),
        source_path="late.txt",
        collection=collection_get_or_create(slug="tests"),
        kind="note",
    )
    revision_embed(revision_id=changed.revision_id or 0)
    model, is_serving = model_back()
    assert (model.name, is_serving) == (EMBEDDING_MODEL, False), "the new passage comes first"
    assert serving_model().name == served.name
    while fill_work():
        pass
    assert serving_model().name == EMBEDDING_MODEL
    assert search(query=QUERY).degraded == ""

    call_command("change_embedding_model", drop=True)
    assert f"dropped: {served.name}" in capsys.readouterr().out
    assert EmbeddingModel.objects.get().name == EMBEDDING_MODEL
    assert lengths() == {384}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_waits_for_a_server_that_serves_the_new_model(import_text, folder, engine):
    """Filled from a folder that no server knows: the old model goes on serving."""
    import_text("ups.md", UPS)
    model = model_start(name=folder.name, path=str(folder))

    assert not fill_work()

    model.refresh_from_db()
    assert model.state == "building"
    assert "is not served for this" in model.error
    assert fill_progress(model) == (3, 3)
    assert search(query=QUERY).degraded == ""
    with pytest.raises(CommandError, match="is not served"):
        call_command("change_embedding_model", folder.name, path=str(folder), wait=True)
    assert model_stop(name=folder.name).state == "retired"
    assert models_drop() == [folder.name]


def test_it_answers_by_full_text_when_nobody_serves_the_model(import_text, engine):
    import_text("ups.md", UPS)
    EmbeddingModel.objects.update(name="moved-on", path="/nowhere")

    with pytest.raises(LLMRefused) as refused:
        embed_queries(["x"])
    result = search(query="runtime shown")
    assert result.degraded == embedding_problem(refused.value)
    assert "does not serve the model" in result.degraded
    assert result.hits[0].document == "sop-test-ups"


def test_it_refuses_vectors_of_another_dimension(import_text, engine):
    serving_model()
    EmbeddingModel.objects.update(dimensions=512)
    with pytest.raises(LLMRefused, match="gives 384 dimensions, but the passages have 512"):
        embed_queries(["x"])


def test_it_embeds_by_a_server_given_by_url(db, engine, import_text):
    """The bundled model through kvserve's address, as a foreign server would be."""
    import_text("ups.md", UPS)
    EmbeddingModel.objects.update(name="former")
    model = model_start(name=EMBEDDING_MODEL, url=engine, dimensions=384)
    assert _fill_only(model) == 3

    pairs = [
        [row.embedding for row in PassageVector.objects.filter(passage=passage).order_by("model")]
        for passage in Passage.objects.all()
    ]
    for one, other in pairs:
        assert sum(float(a) * float(b) for a, b in zip(one, other, strict=True)) > 0.999


def _fill_only(model: EmbeddingModel) -> int:
    """Embed without the switch, which builds an index and so needs a transaction of its own."""
    from rag.intake import switching

    switching._fill_window(model, 0)
    return fill_progress(model).done


def test_it_refuses_what_is_no_model(db, tmp_path):
    with pytest.raises(EmbedderMissing, match=r"it has no modules\.json"):
        model_start(name="x", path=str(tmp_path))
    with pytest.raises(EmbedderMissing, match="it has no modules"):
        model_start(name="x", path="/nowhere")
    assert not EmbeddingModel.objects.filter(name="x").exists()
    serving_model()
    with pytest.raises(SwitchRefused, match="serves already"):
        model_start(name=EMBEDDING_MODEL)
    with pytest.raises(SwitchRefused, match="no earlier model"):
        model_back()
    with pytest.raises(SwitchRefused, match="is not being filled"):
        model_stop(name="x")
    for wrong in ({}, {"back": True}):
        with pytest.raises(CommandError):
            call_command("change_embedding_model", **wrong)


def test_it_fills_one_model_at_a_time_and_says_what_stops_it(import_text, tmp_path):
    import_text("ups.md", UPS)
    EmbeddingModel.objects.create(name="a", path=str(tmp_path), dimensions=8)
    with pytest.raises(SwitchRefused, match="a is being filled; wait for it"):
        model_start(name="b", path=str(tmp_path))

    assert not fill_work()
    stuck = EmbeddingModel.objects.get(name="a")
    assert "no modules.json" in stuck.error
    assert stuck.touched_at is not None
    assert Revision.objects.in_force().count() == 1
    fill_resume()  # woken again only a minute later


def test_it_takes_vectors_of_every_model_over(import_text, db):
    import_text("ups.md", UPS)
    other = EmbeddingModel.objects.create(name="a", path="/x", dimensions=2)
    for passage in Passage.objects.all():
        PassageVector.objects.create(passage=passage, model=other, embedding=[1, 0])
    import_text("ups.md", UPS.replace("300 s", "240 s"))

    new = Revision.objects.get(number=2)
    taken = PassageVector.objects.filter(passage__revision=new)
    assert taken.filter(model=other).count() == 2, "all but the changed passage"
    assert taken.filter(model=serving_model()).count() == 3
