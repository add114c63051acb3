"""How long a search takes in a library of 1,000, 10,000 and 100,000 passages, and what it misses.

    python -m benchmarks.retrieval [--sizes 1000 10000 100000] [--questions 200]

Starts the embedded PostgreSQL (its ordinary settings) over a fresh folder and a real kvserve, embeds
the sentences of this repository's procedures and documents, and makes manuals of them
(`benchmarks/retrieving/corpus.py`). Per size: the time to fill and to build the vector index and their
sizes; then questions, each new, over REST in this process (session, permission and JSON included)
with and without filters; recall@10 of the vector leg against the exact scan; and the first ten of the
word leg against BM25 by its definition. Needs no ../shared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

FILTERS: dict[str, dict[str, str]] = {
    "all": {},
    "half": {"collection": "half"},
    "kinds_43_percent": {"kind": "manual"},
    "kinds_14_percent": {"kind": "sop"},
    "tenth": {"collection": "tenth"},
    "hundredth": {"collection": "hundredth"},
    "thousandth": {"collection": "thousandth"},
}
OPENINGS = ("how do I", "what happens when", "where is", "which", "why does", "")
BY_DEFINITION = 4  # questions whose BM25 is summed by definition: seconds each
WARM_UP = 10


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Retrieval benchmark")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--questions", type=int, default=200, help="per size, without a filter")
    parser.add_argument("--port", type=int, default=12_680)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdpoint-bench-retrieval-"))
    folder.chmod(0o755)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "ops_platform.settings",
        "OPS_DATA_DIR": str(folder),
        "OPS_PORT": str(options.port),
        "OPS_REDIS_URL": "redis://127.0.0.1:1/0",
        "OPS_ALLOWED_HOSTS": "testserver",
        "OPS_LOG_FORMAT": "text",
        "OPS_SEARCH_LOG": "off",
    }
    from ops_platform.embedded.secrets import ensure_secrets

    ensure_secrets(folder)
    import django

    django.setup()
    from django.conf import settings

    from kvserve.testing import start_server
    from ops_platform.backups.server import running

    try:
        with (
            running(exclusively=True),
            start_server(folder, settings.CONFIG.ports.kvserve) as url,
        ):
            settings.LLM_URLS = settings.EMBED_URLS = [url]
            report = measured(options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Embed the sentences, then fill and measure each size."""
    import numpy as np
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from benchmarks.retrieving.corpus import sentences
    from ops_platform.models import User
    from rag.llm import embed_queries

    call_command("check")  # loads every module now, not after the filling
    call_command("migrate", verbosity=0)
    pool = [sentence.text for sentence in sentences()[0]]
    started = time.monotonic()
    base = np.array(
        [v for n in range(0, len(pool), 32) for v in embed_queries(pool[n : n + 32])],
        dtype=np.float32,
    )
    report: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "sentences": len(pool),
        "embedding_sentences_s": round(time.monotonic() - started, 1),
        "sizes": {},
    }
    client = Client()
    client.force_login(User.objects.create_user("bench"))
    for size in options.sizes:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE rag_collection CASCADE")
        found = built(size, base)
        report["sizes"][size] = found
        asked = questions(pool, options.questions + WARM_UP, seed=size)
        for question in asked[:WARM_UP]:
            ask(client, question, {})
        found["searches"] = {
            name: timed(client, asked[WARM_UP:], wanted, one_of=1 if name == "all" else 4)
            for name, wanted in FILTERS.items()
        }
        found["recall_at_10"] = {
            name: recall(asked[:40], wanted) for name, wanted in FILTERS.items()
        }
        found["bm25_top_10_as_defined"] = lexical_overlap(asked[:BY_DEFINITION])
        found["load_average"] = os.getloadavg()
    report["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return report


def built(size: int, base: Any) -> dict[str, Any]:
    """Fill the library and build the index; seconds and megabytes."""
    from django.db import connection

    from benchmarks.retrieving.filling import filled
    from rag.intake.embedding import serving_model
    from rag.retrieval.vector_index import index_create, index_drop, index_name

    model = serving_model()
    index_drop(model=model)
    started = time.monotonic()
    stale = filled(size, base, model=model)
    fill_s = time.monotonic() - started
    started = time.monotonic()
    index_create(model=model)
    index_s = time.monotonic() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SHOW maintenance_work_mem")
        memory = cursor.fetchone()[0]
        megabytes = {}
        for name in (index_name(model), "rag_passagevector", "rag_passage", "rag_posting"):
            relation = "pg_relation_size" if "hnsw" in name else "pg_total_relation_size"
            cursor.execute(f"SELECT {relation}(%s::regclass)", [name])
            megabytes[name] = round(cursor.fetchone()[0] / 2**20, 1)
        cursor.execute("SELECT coalesce(sum(length(data)), 0) FROM rag_posting")
        megabytes["postings_packed"] = round(int(cursor.fetchone()[0]) / 2**20, 1)
    return {
        "passages_in_force": size,
        "superseded_besides": stale,
        "fill_s": round(fill_s, 1),
        "index_build_s": round(index_s, 1),
        "index_build_memory": memory,
        "megabytes": megabytes,
    }


def questions(pool: list[str], count: int, *, seed: int) -> list[str]:
    """New questions of three to eight words of one sentence each, in their order."""
    rng = random.Random(seed)
    asked: list[str] = []
    while len(asked) < count:
        words = rng.choice(pool).split()
        kept = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(3, 8))))
        asked.append(f"{rng.choice(OPENINGS)} {' '.join(words[n] for n in kept)}".strip()[:300])
    return asked


def ask(client: Any, question: str, wanted: dict[str, str]) -> dict[str, Any]:
    """One search over REST."""
    answer = client.get("/api/v1/knowledge/search", {"q": question, "k": 10, **wanted})
    assert answer.status_code == 200, answer.content[:500]
    return dict(answer.json())


def timed(client: Any, asked: list[str], wanted: dict[str, str], *, one_of: int) -> dict[str, Any]:
    """Milliseconds of whole requests and of their stages; `one_of` n questions is asked."""
    spans: list[float] = []
    stages: dict[str, list[float]] = {}
    paths: set[str] = set()
    for question in asked[::one_of]:
        started = time.perf_counter()
        body = ask(client, question, wanted)
        spans.append((time.perf_counter() - started) * 1e3)
        paths.add(body["explanation"]["path"])
        for name, took in body["explanation"]["timings_ms"].items():
            stages.setdefault(name, []).append(took)
    return {
        "requests": len(spans),
        "passages": body["explanation"]["passages"],
        "vectors": sorted(paths),
        **percentiles(spans),
        "stages_ms": {name: percentiles(took) for name, took in stages.items()},
    }


def percentiles(spans: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    if len(spans) < 2:
        return {"p50": round(spans[0], 1)}
    cuts = statistics.quantiles(spans, n=100, method="inclusive")
    return {name: round(cuts[n], 1) for name, n in (("p50", 49), ("p95", 94), ("p99", 98))}


def recall(asked: list[str], wanted: dict[str, str]) -> dict[str, Any]:
    """Share of the exact nearest ten that the search's vector leg finds."""
    from rag.intake.embedding import serving_model
    from rag.llm import embed_queries
    from rag.retrieval import vectors
    from rag.retrieval.allowed import allowed_of
    from rag.retrieval.scope import Scope

    kinds = [wanted["kind"]] if "kind" in wanted else None
    allowed = allowed_of(Scope.of(collection=wanted.get("collection"), kinds=kinds))
    model, found, paths = serving_model(), [], set()
    for vector in embed_queries(asked):
        near = vectors.nearest(vector, allowed, model=model, limit=50)
        exact = vectors.nearest_exact(vector, allowed, model=model, limit=10)
        paths.add(near.path)
        if exact:
            found.append(len(set(list(near.similarities)[:10]) & set(exact)) / len(exact))
    return {"mean": round(statistics.mean(found), 3) if found else None, "path": sorted(paths)}


def lexical_overlap(asked: list[str]) -> float:
    """Share of the ten best by BM25's definition, summed in SQL from the text vectors, that the
    word leg returns."""
    from django.db import connection

    from benchmarks.retrieving.definition import BM25_BY_DEFINITION
    from rag.retrieval.allowed import allowed_of
    from rag.retrieval.expansion import expand
    from rag.retrieval.lexical import CONTEXT_WEIGHT, K1, B, bm25, weights_of
    from rag.retrieval.scope import Scope

    shares = []
    for question in asked:
        query = expand(question)
        weights = weights_of(query)
        best = bm25(query, allowed_of(Scope.of())).best(10)
        with connection.cursor() as cursor:
            cursor.execute(
                BM25_BY_DEFINITION,
                {
                    "lexemes": list(weights),
                    "weights": list(weights.values()),
                    "title": CONTEXT_WEIGHT,
                    "k1": K1,
                    "b": B,
                },
            )
            scores = dict(cursor.fetchall())
        edge = sorted(scores.values(), reverse=True)[:10]
        if edge:
            # By score, not by id: passages that say the same are interchangeable.
            right = sum(scores.get(key, 0.0) >= edge[-1] - 1e-9 for key in best)
            shares.append(right / len(edge))
    return round(statistics.mean(shares), 3) if shares else 1.0


if __name__ == "__main__":
    main()
