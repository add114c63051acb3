"""The words that a reader's documents use, for spelling: counted from the postings.

Only passages of the reader's own collections count, so that neither a suggestion nor its absence
tells what stands in a closed one.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from django.db import connection

from rag.retrieval.allowed import Allowed, runs_of
from rag.retrieval.lexical import BLOCK, ENTRY
from rag.retrieval.rows import fetch

AGE_S = 60
REMEMBERED = 16  # sets of collections

_STATE = """
SELECT count(*), max(s.first_id), sum(s.passages)::bigint
FROM rag_segment s JOIN rag_revision r ON r.id = s.revision_id
JOIN rag_document d ON d.id = r.document_id WHERE d.collection_id = ANY(%(shelves)s::bigint[])
"""
_RUNS = """
SELECT string_agg(int8send(s.first_id) || int8send(s.last_id), '')
FROM rag_segment s JOIN rag_revision r ON r.id = s.revision_id
JOIN rag_document d ON d.id = r.document_id WHERE d.collection_id = ANY(%(shelves)s::bigint[])
"""
_ROSTER = "SELECT block, length(data) FROM rag_posting WHERE lexeme = ''"
_WHOLE = """
SELECT lexeme, (sum(length(data)) / %(entry)s::integer)::integer FROM rag_posting
WHERE lexeme <> '' AND block = ANY(%(blocks)s::integer[]) GROUP BY lexeme
"""
_MIXED = """
SELECT lexeme, block, data FROM rag_posting
WHERE lexeme <> '' AND block = ANY(%(blocks)s::integer[])
"""


@dataclass
class _Remembered:
    counts: Mapping[str, int] = field(default_factory=dict)
    state: tuple[Any, ...] = ()
    checked: float = float("-inf")


_lock = Lock()
_remembered: OrderedDict[tuple[str, tuple[int, ...]], _Remembered] = OrderedDict()


def vocabulary(shelves: Sequence[int]) -> Mapping[str, int]:
    """Every lexeme and code in these collections (ids) with the number of passages that hold it.

    Of any revision. Remembered by this process, and looked up again when passages came or went, at
    most once a minute. Read-only. About 0.2 s for 100,000 passages; 1 s where every block of them
    also holds passages of other collections.
    """
    key = (str(connection.settings_dict["NAME"]), tuple(sorted(shelves)))
    now = time.monotonic()
    with _lock:
        known = _remembered.setdefault(key, _Remembered())
        _remembered.move_to_end(key)
        while len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
        if now < known.checked + AGE_S:
            return known.counts
        known.checked = now  # the others go on with what is known
    wanted = {"shelves": list(key[1])}
    [state] = fetch(_STATE, wanted)
    if state != known.state:
        [(packed,)] = fetch(_RUNS, wanted)
        counts = _counted(Allowed(*runs_of(packed), passages=int(state[2] or 0), words=0))
        with _lock:
            known.counts, known.state = counts, state
    return known.counts


def forget() -> None:
    """Count again at the next question (tests)."""
    with _lock:
        _remembered.clear()


def _counted(readable: Allowed) -> dict[str, int]:
    """Whole blocks by the length of their postings, the others passage by passage."""
    if not readable.passages:
        return {}
    low, size = readable.low, len(readable.is_in)
    first_block = low // BLOCK
    padded = np.zeros((low + size) // BLOCK * BLOCK + BLOCK - first_block * BLOCK, dtype=np.bool_)
    padded[low - first_block * BLOCK :][:size] = readable.is_in
    inside = padded.reshape(-1, BLOCK).sum(axis=1)
    listed = {block: length // ENTRY.itemsize for block, length in fetch(_ROSTER, {})}
    here = {first_block + n: count for n, count in enumerate(inside.tolist()) if count}
    whole = [block for block, count in here.items() if listed.get(block) == count]
    counts: dict[str, int] = dict(
        fetch(_WHOLE, {"entry": ENTRY.itemsize, "blocks": whole}) if whole else []
    )
    for block in here.keys() - set(whole):
        members = padded[(block - first_block) * BLOCK :][:BLOCK]
        for lexeme, _block, data in fetch(_MIXED, {"blocks": [block]}):
            found = int(members[np.frombuffer(data, dtype=ENTRY)["offset"]].sum())
            if found:
                counts[lexeme] = counts.get(lexeme, 0) + found
    return counts
