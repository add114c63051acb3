"""Fixtures of the knowledge base: a small embedded corpus, written into each test's database.

The real model embeds the six documents once per run; the vectors are then reused.
"""

from collections.abc import Sequence

import pytest

from rag.intake.importing import collection_get_or_create, document_import
from rag.intake.indexing import revision_embed
from rag.models import Collection
from rag.tests.corpus import CORPUS


@pytest.fixture(scope="session")
def vectors() -> dict[str, list[float]]:
    """Vectors by text, filled by the real model as tests go along."""
    return {}


@pytest.fixture
def embed_once(vectors, monkeypatch) -> None:
    """Let the real embedder see each text once per run only."""
    from rag.intake import indexing
    from rag.intake.embedding import embed_texts

    def remembered(texts: Sequence[str]) -> list[list[float]]:
        new = [text for text in texts if text not in vectors]
        vectors.update(zip(new, embed_texts(new), strict=True))
        return [vectors[text] for text in texts]

    monkeypatch.setattr(indexing, "embed_texts", remembered)


@pytest.fixture
def import_text(db, embed_once):
    """Return a function that imports and embeds one text file."""

    def run(name: str, text: str | bytes, *, kind: str = "manual", collection: str = "tests"):
        shelf: Collection = collection_get_or_create(slug=collection)
        data = text.encode() if isinstance(text, str) else text
        outcome = document_import(data=data, source_path=name, collection=shelf, kind=kind)
        if outcome.revision_id is not None:
            revision_embed(revision_id=outcome.revision_id)
        return outcome

    return run


@pytest.fixture
def corpus(import_text) -> None:
    """The six documents, in force."""
    for name, (text, kind) in CORPUS.items():
        import_text(name, text, kind=kind)


@pytest.fixture
def engine(kvserve_url, settings) -> str:
    """The real kvserve as language model and query embedder."""
    settings.LLM_URLS = settings.EMBED_URLS = [kvserve_url]
    return kvserve_url


@pytest.fixture
def no_engine(settings) -> None:
    """Addresses at which nothing listens."""
    settings.LLM_URLS = settings.EMBED_URLS = ["http://127.0.0.1:9"]
