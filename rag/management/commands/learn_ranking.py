"""`learn_ranking FILE… [--write]`: the weights of the ranking, from questions with known answers."""

import json
import logging
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rag.access import Reader
from rag.evaluation.golden import GoldenInvalid, load
from rag.evaluation.learning import Learned, tables_of, weights_learn
from rag.evaluation.running import CannotEvaluate
from rag.management.commands.evaluate_retrieval import is_held
from rag.retrieval.features import DEFAULT_WEIGHTS, WEIGHTS_FILE


class Command(BaseCommand):
    """Learn the weights of fusion; needs the documents and the embedding server."""

    help = (
        "Learn what each kind of evidence weighs in the ranking from files of questions (the tuning "
        "halves and the training questions in rag/evaluation/golden; docs/evaluation.md). Prints MRR@10 "
        "on documents left out, by penalty and set."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The questions, and whether the weights are kept."""
        parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
        parser.add_argument("--write", action="store_true", help=f"replace {WEIGHTS_FILE.name}")
        parser.add_argument(
            "--skip-missing",
            action="store_true",
            help="leave out what names a document that the library does not hold",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Search for every question, fit, and show."""
        logging.getLogger("rag.retrieval").setLevel(logging.WARNING)
        sets = []
        for path in options["files"]:
            if is_held(path):
                raise CommandError(f"{path}: a held set is never learned from")
            try:
                sets.append((path.stem, load(path)))
            except OSError as error:
                raise CommandError(f"{path}: {error.strerror}") from error
            except GoldenInvalid as error:
                raise CommandError(str(error)) from error
        reader = Reader(sees_all=True)
        try:
            tables = tables_of(sets, reader=reader, skip_missing=options["skip_missing"])
            learned = weights_learn(tables)
        except (CannotEvaluate, ValueError) as error:
            raise CommandError(str(error)) from error
        self._show(learned)
        if options["write"]:
            kept = {
                "questions": {name: sum(t.name == name for t in tables) for name, _found in sets},
                "penalty": learned.penalty,
                "weights": asdict(learned.weights),
            }
            WEIGHTS_FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            self.stdout.write(f"written to {WEIGHTS_FILE.name}")

    def _show(self, learned: Learned) -> None:
        names = list(next(iter(learned.left_out.values())))
        self.stdout.write("MRR@10 on documents left out")
        self.stdout.write(f"{'penalty':>8} " + " ".join(f"{name:>18}" for name in names))
        for penalty, found in learned.left_out.items():
            mark = " <" if penalty == learned.penalty else ""
            row = " ".join(f"{found[name]:18.3f}" for name in names)
            self.stdout.write(f"{penalty:8.0f} {row}{mark}")
        before = asdict(DEFAULT_WEIGHTS)
        for name, value in asdict(learned.weights).items():
            self.stdout.write(f"{name:16} {before[name]:7.3f} → {value:7.3f}")
