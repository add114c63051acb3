"""`evaluate_retrieval FILE`: MRR@10, hit@1 and hit@5 of BM25, vectors and both together."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError

from rag.evaluation.metrics import DEPTH, Golden, GoldenInvalid, figures, load, rank_of_first
from rag.models import Document
from rag.retrieval.search import Leg, search


class Command(BaseCommand):
    """Measure retrieval on golden questions; needs the embedding server."""

    help = "Measure retrieval on a file of questions with their relevant passages."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The golden file, and where to search."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--collection", help="search in this collection only")
        parser.add_argument("--misses", action="store_true", help="list what is not found first")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run every question through each leg."""
        try:
            golden = load(options["file"])
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from error
        except GoldenInvalid as error:
            raise CommandError(str(error)) from error
        self._check_slugs(golden)
        self.stdout.write(f"{len(golden)} questions\n{'':8} MRR@10  hit@1  hit@5")
        for leg in reversed(get_args(Leg)):
            ranks = [self._rank(item, leg, options["collection"]) for item in golden]
            result = figures(ranks)
            self.stdout.write(f"{leg:8} {result.mrr:6.3f} {result.hit_1:6.3f} {result.hit_5:6.3f}")
            if options["misses"] and leg == "hybrid":
                for item, rank in zip(golden, ranks, strict=True):
                    if rank != 1:
                        self.stdout.write(f"  rank {rank or '–'}: {item.query}")

    def _check_slugs(self, golden: list[Golden]) -> None:
        wanted = {name.split("#")[0] for item in golden for name in item.relevant}
        known = set(Document.objects.filter(slug__in=wanted).values_list("slug", flat=True))
        if missing := sorted(wanted - known):
            raise CommandError(
                f"not in the library: {', '.join(missing[:5])}; import the documents first"
            )

    def _rank(self, item: Golden, leg: Leg, collection: str | None) -> int | None:
        result = search(query=item.query, k=DEPTH, collection=collection, leg=leg)
        if result.degraded:
            raise CommandError(f"{result.degraded} Figures would mislead; start kvserve.")
        return rank_of_first(item, [(hit.document, hit.step) for hit in result.hits])
