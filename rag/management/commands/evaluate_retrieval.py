"""`evaluate_retrieval FILE…`: how well hybrid retrieval, vectors and words find the answers."""

import hashlib
import json
import logging
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rag.access import Reader
from rag.evaluation.golden import Golden, GoldenInvalid, load
from rag.evaluation.records import GOLDEN_NAME, golden_load, run_store
from rag.evaluation.running import (
    DEPTH,
    LEGS,
    CannotEvaluate,
    Evaluation,
    System,
    retrieval_evaluate,
    setup_describe,
)
from rag.models import Collection
from rag.retrieval.fusion import METHODS

HEADER = ("MRR@10", "95 % interval", "hit@1", "hit@5", "nDCG@10", "recall@10", "p", "ms")


class Command(BaseCommand):
    """Measure retrieval on golden questions; needs the embedding server."""

    help = (
        "Measure retrieval on files of questions with the passages that answer them (YAML, JSON, "
        "JSON lines, CSV, BEIR folders; docs/evaluation.md). p: paired test against the first row."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The golden files, where to search and what to compare."""
        parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
        parser.add_argument("--golden", action="store_true", help="the questions of the database")
        parser.add_argument("--collection", help="search in this collection only")
        parser.add_argument("--k", type=int, default=DEPTH, help="passages asked for (10 to 50)")
        parser.add_argument(
            "--fusion",
            action="append",
            choices=METHODS,
            help="fusion method, the default's name first; several times to compare",
        )
        parser.add_argument("--rerank", action="store_true", help="with the cross-encoder")
        parser.add_argument("--legs", choices=("all", "hybrid"), default="all")
        parser.add_argument("--misses", action="store_true", help="list what is not found first")
        parser.add_argument(
            "--skip-missing",
            action="store_true",
            help="leave out what names a document that the library does not hold",
        )
        parser.add_argument("--json", type=Path, help="write the figures and rows to this file")
        parser.add_argument("--no-store", action="store_true", help="do not keep the run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run every set through each system."""
        # A line per search would bury the table.
        logging.getLogger("rag.retrieval").setLevel(logging.WARNING)
        sets = self._sets(options)
        if options["misses"] and any(held for _name, held, _questions, _digest in sets):
            raise CommandError(
                "--misses: a held set is never looked at; run it without --misses for its totals"
            )
        self._check(options)
        systems = self._systems(options)
        written = []
        for name, held, questions, digest in sets:
            started = timezone.now()
            try:
                evaluation = retrieval_evaluate(
                    questions,
                    reader=Reader(sees_all=True),
                    systems=systems,
                    collection=options["collection"],
                    k=options["k"],
                    skip_missing=options["skip_missing"],
                )
            except CannotEvaluate as error:
                raise CommandError(f"{name}: {error}") from error
            self._print(name, evaluation)
            if options["misses"]:
                self._misses(evaluation)
            setup = setup_describe(
                reader=Reader(sees_all=True),
                collection=options["collection"],
                k=options["k"],
                systems=systems,
            ) | {"held": held, "sha256": digest}
            if not options["no_store"]:
                run_store(evaluation=evaluation, name=name, setup=setup, started_at=started)
            rows = [] if held else evaluation.rows()
            written.append(
                {"name": name, "setup": setup, "figures": evaluation.figures(), "rows": rows}
            )
        if options["json"]:
            options["json"].write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")

    def _sets(self, options: dict[str, Any]) -> list[tuple[str, bool, list[Golden], str]]:
        """Name, whether held, questions and digest of each file, or of the database."""
        if not options["files"] and not options["golden"]:
            raise CommandError("name a file of questions, or --golden for those of the database")
        sets = []
        for path in options["files"]:
            try:
                questions = load(path)
                digest = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise CommandError(f"{path}: {error.strerror}") from error
            except GoldenInvalid as error:
                raise CommandError(str(error)) from error
            sets.append((path.stem or path.name, is_held(path), questions, digest))
        if options["golden"]:
            questions = golden_load()
            if not questions:
                raise CommandError("the database holds no active golden question")
            sets.append((GOLDEN_NAME, False, questions, ""))
        return sets

    def _check(self, options: dict[str, Any]) -> None:
        if not DEPTH <= options["k"] <= 50:
            raise CommandError(f"--k {options['k']}: the measures need 10 to 50 passages")
        slug = options["collection"]
        if slug and not Collection.objects.filter(slug=slug).exists():
            known = ", ".join(Collection.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"--collection {slug}: there is no such collection (known: {known})")

    def _systems(self, options: dict[str, Any]) -> list[System]:
        rerank = True if options["rerank"] else None
        fusions = options["fusion"] or [None]
        systems = [
            System("hybrid" if len(fusions) == 1 else f"hybrid {fusion}", "hybrid", fusion, rerank)
            for fusion in fusions
        ]
        return [*systems, *LEGS] if options["legs"] == "all" else systems

    def _print(self, name: str, evaluation: Evaluation) -> None:
        left_out = []
        if evaluation.unanswerable:
            left_out.append(f"{evaluation.unanswerable} unanswerable")
        if evaluation.skipped:
            left_out.append(f"{len(evaluation.skipped)} not in the library")
        note = f" ({', '.join(left_out)} left out)" if left_out else ""
        self.stdout.write(f"{name}: {len(evaluation.judged)} questions{note}")
        widths = (6, 13, 6, 6, 7, 9, 6, 6)
        head = " ".join(f"{title:>{width}}" for title, width in zip(HEADER, widths, strict=True))
        self.stdout.write(f"{'':14} {head}")
        for system, item in evaluation.figures().items():
            p_value = f"{item['p_value']:.3f}" if "p_value" in item else "–"
            span = f"{item['mrr_low']:.3f}–{item['mrr_high']:.3f}"
            self.stdout.write(
                f"{system:14} {item['mrr']:6.3f} {span:>13} {item['hit_1']:6.3f} "
                f"{item['hit_5']:6.3f} {item['ndcg']:7.3f} {item['recall']:9.3f} {p_value:>6} "
                f"{item['ms_median']:6.1f}"
            )

    def _misses(self, evaluation: Evaluation) -> None:
        for row in evaluation.rows():
            rank = next(iter(row["ranks"].values()))
            if rank != 1:
                self.stdout.write(f"  rank {rank or '–'}: {row['query']}")
                self.stdout.write(f"     wanted {'; '.join(row['wanted'])}")
                self.stdout.write(f"     found  {'; '.join(row['found'])}")


def is_held(path: Path) -> bool:
    """Whether the file is a half that nobody looks at: `….held.…`."""
    return ".held." in f"{path.name}."
