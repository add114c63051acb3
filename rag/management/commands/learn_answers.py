"""`learn_answers [--write]`: learn the weights of answers on the tune halves of the golden sets."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rag.access import Reader
from rag.answers import weights
from rag.answers.answerable import ANSWERABLE
from rag.answers.choice import SURE
from rag.evaluation.answers_learning import (
    Example,
    as_json,
    example_of,
    expected,
    learn_answerable,
    learn_passages,
)
from rag.evaluation.golden import load
from rag.evaluation.resolving import Library, resolve
from rag.management.commands.evaluate_answers import GOLDEN, Everybody
from rag.models import Passage

BARS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


class Command(BaseCommand):
    """Learn when to answer and which passages to quote."""

    help = (
        "Learn rag/answers/weights.json from the tune halves of the golden sets, and print what to "
        "expect of them by cross-validation. The library must hold the procedures and the manuals "
        "(docs/answers.md). Needs the embedding server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to keep what was learned."""
        parser.add_argument("--write", action="store_true", help="replace weights.json")

    def handle(self, *args: Any, **options: Any) -> None:
        """Learn, print, and write where that is asked for."""
        if not Passage.objects.exists():
            raise CommandError("the library is empty; import the documents first")
        examples = self._examples()
        try:
            learned = as_json(learn_answerable(examples), learn_passages(examples))
        except ValueError as error:
            raise CommandError(str(error)) from error
        answerable = sum(example.is_answerable for example in examples)
        self.stdout.write(
            f"{answerable} questions that the documents answer, {len(examples) - answerable} that "
            f"they do not; cross-validated (in use: {ANSWERABLE}, passages until {SURE}):"
        )
        for row in expected(examples, BARS):
            self.stdout.write(
                f"  bar {row['bar']:.2f}: keeps {row['kept']:.3f}, declines {row['declined']:.3f}"
            )
        text = json.dumps(learned, indent=1, sort_keys=True) + "\n"
        self.stdout.write(text)
        if options["write"]:
            weights.FILE.write_text(text, encoding="utf-8")
            self.stdout.write(f"written to {weights.FILE.name}")

    def _examples(self) -> list[Example]:
        reader = Reader.of(Everybody())
        library = Library(reader)
        found = []
        for path in sorted(GOLDEN.glob("*.tune.yaml")):
            for judged in resolve(load(path), library):
                if judged.missing:
                    raise CommandError(
                        f"{path.name}: {judged.golden.query!r} wants {', '.join(judged.missing)}, "
                        "which is not in the library; import the procedures and manuals first"
                    )
                found.append(example_of(judged, reader))
        return found
