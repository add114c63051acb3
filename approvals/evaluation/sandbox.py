"""A database of its own for an evaluation: made, filled with the demo facility and its procedures,
and dropped. The product's rows, queues, caches and browsers hear nothing of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import connection, connections
from django.test.utils import override_settings

FACILITY = Path(settings.BASE_DIR) / "facilities" / "demo" / "facility.yaml"
PROCEDURES = Path(settings.BASE_DIR) / "rag" / "procedures"
LOCAL_CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
LOCAL_LAYER = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

Say = Callable[[str], None]


@contextmanager
def sandbox(*, say: Say, embed: bool = True, keep: bool = False) -> Iterator[None]:
    """Work on a throwaway database named after the configured one and this process.

    Needs the right to create databases; refuses to start inside a transaction. About twenty
    seconds, and half a minute more where an embedder answers. ``keep``: the database is named after
    the configured one alone, stays, and is found again by the next run with the same procedures.
    """
    if connection.in_atomic_block:
        raise RuntimeError("an evaluation makes its own database: call it outside transactions")
    original = connection.settings_dict["NAME"]
    connection.settings_dict.setdefault("TEST", {})["NAME"] = (
        f"{original}_evaluation_kept" if keep else f"{original}_evaluation_{os.getpid()}"
    )
    broker = current_app.conf.broker_url
    current_app.conf.update(broker_url="memory://")
    levels = {name: logging.getLogger(name).level for name in ("rag", "facilities", "approvals")}
    with override_settings(CACHES=LOCAL_CACHE, CHANNEL_LAYERS=LOCAL_LAYER):
        say("making a throwaway database")
        connection.creation.create_test_db(
            verbosity=0, autoclobber=True, serialize=False, keepdb=keep
        )
        try:
            for name in levels:
                logging.getLogger(name).setLevel(logging.ERROR)
            if not keep or not _filled():
                _fill(say, embed=embed)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            _drop(original, keep=keep)
            current_app.conf.update(broker_url=broker)


def _drop(original: str, *, keep: bool) -> None:
    from facilities import inventory

    connection.close()
    connections["default"].close_pool()  # type: ignore[attr-defined]
    connection.creation.destroy_test_db(original, verbosity=0, keepdb=keep)
    inventory._kept = None


def _filled() -> bool:
    """Whether a kept database has every procedure as it is now, ready to be found."""
    from rag.models import Revision, RevisionState

    ready = set(Revision.objects.filter(state=RevisionState.READY).values_list("sha256", flat=True))
    wanted = {hashlib.sha256(path.read_bytes()).hexdigest() for path in PROCEDURES.glob("*.md")}
    return wanted <= ready


def _fill(say: Say, *, embed: bool) -> None:
    from facilities.loader import load_facility
    from rag.intake.importing import collection_get_or_create, document_import
    from rag.models import Revision, RevisionState

    load_facility(path=FACILITY)
    shelf = collection_get_or_create(slug="procedures")
    for path in sorted(PROCEDURES.glob("*.md")):
        document_import(data=path.read_bytes(), source_path=path.name, collection=shelf, kind="sop")
    if embed and _embedded(say):
        return
    Revision.objects.update(state=RevisionState.READY)
    say("no embedder answers: procedures are found by their words alone")


def _embedded(say: Say) -> bool:
    from rag.intake.indexing import revision_embed
    from rag.llm import embedding_problem
    from rag.models import Revision, RevisionState

    revisions = list(Revision.objects.exclude(state=RevisionState.READY).order_by("pk"))
    say(f"embedding {len(revisions)} procedures")
    try:
        for revision in revisions:
            revision_embed(revision_id=revision.pk)
    except Exception as error:
        say(f"embedding failed: {embedding_problem(error) or error}")
        return False
    return True
