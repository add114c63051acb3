"""`evaluate_answers [FILE…]`: are shown sentences supported, cited, and is silence kept?"""

import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rag.answers import capability
from rag.answers.answering import answer_events
from rag.evaluation.answers import Outcome, Totals, embedded_similarity, evaluate
from rag.evaluation.golden import Golden, GoldenInvalid, load
from rag.llm import embed_queries
from rag.models import EvaluationRun, Passage

GOLDEN = Path(__file__).parents[2] / "evaluation" / "golden"
# Goals of the product, printed beside the figures.
TARGETS = {
    "supported": 0.95, "citation_recall": 0.9, "citation_precision": 0.9, "abstention": 0.9,
    "key_facts": 0.8,
}  # fmt: skip
SHOWN = (
    "questions", "sentences", "supported", "verbatim", "citation_recall", "citation_precision",
    "abstention", "false_abstention", "key_facts", "key_facts_nearby", "modes", "dropped", "replaced", "words",
    "first_token_ms_p50", "first_token_ms_p95", "total_ms_p50", "total_ms_p95", "errors",
)  # fmt: skip


class Command(BaseCommand):
    """Measure answers on golden questions through the product's own pipeline."""

    help = (
        "Ask golden questions and judge the answers: supported sentences, citation precision and "
        "recall (ALCE), abstention, key facts, latency (docs/answers.md). Needs the language model "
        "and the embedding server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The golden files, and which language model to ask."""
        parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
        parser.add_argument("--limit", type=int, help="the first questions of each file only")
        parser.add_argument("--json", type=Path, help="write figures and rows to this file")
        parser.add_argument("--llm-url", help="another OpenAI-compatible server, without /v1")
        parser.add_argument("--llm-model", help="the model to ask for there")
        parser.add_argument(
            "--answers", choices=("auto", "quote", "write"), help="as OPS_LLM_ANSWERS"
        )
        parser.add_argument(
            "--misses", action="store_true", help="print what went wrong (tune only)"
        )
        parser.add_argument("--no-store", action="store_true", help="do not keep the runs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run every file, then all together."""
        files = options["files"] or sorted(GOLDEN.glob("*.yaml"))
        if options["misses"] and any(_is_held(path) for path in files):
            raise CommandError("--misses: a held set is never looked at; name the tune files")
        if not Passage.objects.exists():
            raise CommandError("the library is empty; import the documents first")
        if options["llm_url"]:
            settings.LLM_URLS = [options["llm_url"].rstrip("/").removesuffix("/v1")]
        if options["llm_model"] is not None:
            settings.LLM_MODEL = options["llm_model"]
        if options["answers"]:
            settings.LLM_ANSWERS = options["answers"]
        strong = capability.measure() if settings.LLM_ANSWERS == "auto" else capability.is_strong()
        setup = {
            "llm": capability.model_name(),
            "llm_urls": settings.LLM_URLS,
            "answers": settings.LLM_ANSWERS,
            "writes": strong,
            "embedding_model": settings.EMBED_MODEL,
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
            "judge": "deterministic, rag.evaluation.answers_judge",
        }
        self.stdout.write(
            f"language model {setup['llm'] or '(none answers)'}: "
            f"{'writes' if strong else 'quoted around'}"
        )
        similarity = embedded_similarity(embed_queries)
        everything, written = Totals(), []
        for path in files:
            questions = self._load(path)[: options["limit"]]
            started = timezone.now()
            totals = evaluate(
                questions,
                ask=_ask,
                similarity=similarity,
                on_each=self._miss if options["misses"] else _silent,
            )
            everything.outcomes += totals.outcomes
            figures = totals.figures()
            held = _is_held(path)
            rows = [] if held else [outcome.row() for outcome in totals.outcomes]
            self._print(path.stem, figures)
            written.append({"name": path.stem, "figures": figures, "rows": rows})
            if not options["no_store"]:
                EvaluationRun.objects.create(
                    kind=EvaluationRun.Kind.ANSWERS,
                    name=path.stem,
                    setup=setup | {"held": held, "file": path.name},
                    figures=figures,
                    rows=rows,
                    started_at=started,
                    finished_at=timezone.now(),
                )
        if len(files) > 1:
            figures = everything.figures()
            self._print("all", figures, with_targets=True)
            written.append({"name": "all", "figures": figures, "rows": []})
        if options["json"]:
            text = json.dumps({"setup": setup, "runs": written}, indent=1)
            options["json"].write_text(text + "\n", encoding="utf-8")

    def _load(self, path: Path) -> list[Golden]:
        try:
            return load(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        except GoldenInvalid as error:
            raise CommandError(str(error)) from error

    def _print(self, name: str, figures: dict[str, Any], *, with_targets: bool = False) -> None:
        self.stdout.write(f"\n{name}")
        for key in SHOWN:
            value = figures[key]
            if value is None or value == {}:
                continue
            shown = f"{value:.3f}" if isinstance(value, float) else str(value)
            goal = f"   (target ≥ {TARGETS[key]})" if with_targets and key in TARGETS else ""
            self.stdout.write(f"  {key:20} {shown}{goal}")

    def _miss(self, outcome: Outcome) -> None:
        asked = outcome.asked
        faults = []
        if asked.is_answerable == outcome.has_abstained:
            faults.append("abstained" if asked.is_answerable else "answered")
        if asked.is_answerable and outcome.facts_found is False:
            faults.append(f"lacks {list(asked.key_facts)}")
        if outcome.judged.unsupported:
            faults.append(f"unsupported {list(outcome.judged.unsupported)}")
        if outcome.error:
            faults.append(outcome.error)
        if faults:
            self.stdout.write(f"- {asked.query}: {'; '.join(faults)}")


def _is_held(path: Path) -> bool:
    return ".held" in path.name


def _silent(outcome: Outcome) -> None:
    """Print nothing."""


def _ask(query: str, collection: str | None) -> AsyncIterator[dict[str, Any]]:
    return answer_events(question=query, user=Everybody(), collection=collection)


class Everybody:
    """Reads every collection and reading, so that all are measured; may change nothing."""

    is_superuser = True
    is_authenticated = True
    is_active = True

    def get_username(self) -> str:
        """What the retrieval journal says who asked."""
        return "evaluate_answers"

    def has_perm(self, permission: str) -> bool:
        """Only what looks at things is permitted."""
        return ".view_" in permission
