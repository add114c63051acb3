"""`evaluate_attacks`: does a poisoned document, question or reading get anything done?"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rag.answers import capability
from rag.evaluation.attacks import ATTACKS, Attack, attack_run, attacks_load
from rag.evaluation.hostile_model import MODES, hostile_model
from rag.models import EvaluationRun


class Command(BaseCommand):
    """Run every attack against the configured model and against one that obeys."""

    help = (
        "Run the attacks of a file (OWASP LLM01, 05, 06, 08) through import, retrieval and "
        "answers, once with the configured language model and four times with a server that "
        "obeys every attack. Everything is rolled back; the run is kept. Fails when one gets "
        "through (docs/hostile-documents.md)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and which models to attack."""
        parser.add_argument("file", type=Path, nargs="?", default=ATTACKS)
        parser.add_argument("--only", nargs="*", default=[], help="ids of attacks")
        parser.add_argument(
            "--models", choices=("both", "real", "hostile"), default="both", help="default: both"
        )
        parser.add_argument("--no-store", action="store_true", help="do not keep the run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print, store, and fail when one got through."""
        try:
            attacks = attacks_load(options["file"])
        except (OSError, ValueError, TypeError) as error:
            raise CommandError(str(error)) from error
        if options["only"]:
            attacks = [attack for attack in attacks if attack.id in options["only"]]
        started = timezone.now()
        rows: list[dict[str, Any]] = []
        if options["models"] != "hostile":
            rows += self._real(attacks)
        if options["models"] != "real":
            rows += self._hostile(attacks)
        through = {row["id"] for row in rows if row["breaches"]}
        figures = {
            "attacks": len(attacks), "runs": len(rows), "through": len(through),
            "by_risk": dict(sorted(Counter(attack.risk for attack in attacks).items())),
            "modes": dict(sorted(Counter(row["mode"] for row in rows).items())),
        }  # fmt: skip
        if not options["no_store"]:
            EvaluationRun.objects.create(
                kind=EvaluationRun.Kind.ATTACKS,
                name=options["file"].stem,
                setup={"llm": capability.model_name(), "models": options["models"]},
                figures=figures,
                rows=rows,
                started_at=started,
            )
        self.stdout.write(
            f"{len(attacks)} attacks, {len(rows)} runs, {len(through)} got through; "
            f"by risk {figures['by_risk']}, answers {figures['modes']}"
        )
        if through:
            raise CommandError(f"got through: {', '.join(sorted(through))}")

    def _real(self, attacks: list[Attack]) -> list[dict[str, Any]]:
        name = capability.model_name()
        if not name:
            raise CommandError("no language model answers; start one or use --models hostile")
        return [row for attack in attacks for row in self._rows(attack, {name: lambda: None})]

    def _hostile(self, attacks: list[Attack]) -> list[dict[str, Any]]:
        kept = settings.LLM_URLS, settings.LLM_ANSWERS
        rows: list[dict[str, Any]] = []
        with hostile_model() as model:
            settings.LLM_URLS, settings.LLM_ANSWERS = [model.url], "write"
            try:
                for attack in attacks:
                    ways = {
                        f"hostile ({mode})": partial(
                            model.behave, attack.draft, mode, attack.sentences
                        )
                        for mode in MODES
                    }
                    rows += self._rows(attack, ways)
            finally:
                settings.LLM_URLS, settings.LLM_ANSWERS = kept
        return rows

    def _rows(self, attack: Attack, ways: Mapping[str, Callable[[], None]]) -> list[dict[str, Any]]:
        """The attack against each model, by its name."""
        rows: list[dict[str, Any]] = []
        outcomes = attack_run(attack, before=list(ways.values()))
        for model, outcome in zip(ways, outcomes, strict=True):
            row = outcome.row(model)
            rows.append(row)
            if row["breaches"]:
                self.stdout.write(f"THROUGH {attack.id} [{model}] {row['mode']}: {row['breaches']}")
                self.stdout.write(f"    {outcome.answer[:300]!r}")
        return rows
