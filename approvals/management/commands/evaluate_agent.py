"""`manage.py evaluate_agent`: the agent on every fault of the demo plant and on healthy runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.agent.calibration import bins_store
from approvals.evaluation.cases import Case, CaseError, cases_read
from approvals.evaluation.measure import Outcome, calibration_of, figures_of, summary, table
from approvals.evaluation.runner import case_run
from approvals.evaluation.sandbox import sandbox
from facilities.demo.plant.points import read_facility


class Command(BaseCommand):
    help = (
        "Run the agent on the fault scenarios and healthy runs of the demo plant, in process and in "
        "a throwaway database; report right asset, right action class, harmful proposals (by the "
        "plant itself), time to proposal and false proposals. Status 1 where one is harmful or false."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only", default="", help="cases whose name or group contains one of these, by commas"
        )
        parser.add_argument(
            "--model", choices=("with", "without", "both"), default="both", help="default both"
        )
        parser.add_argument(
            "--no-twin", action="store_true", help="do not let the twin follow the plant first"
        )
        parser.add_argument("--out", type=Path, help="write all outcomes as JSON")
        parser.add_argument(
            "--calibrate", action="store_true", help="keep the frequencies for the agent's words"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        facility = read_facility()
        try:
            cases = cases_read(facility)
        except CaseError as error:
            raise CommandError(str(error)) from error
        wanted = options["only"].lower().split(",")
        cases = [c for c in cases if any(w in f"{c.name} {c.group}".lower() for w in wanted)]
        if not cases:
            raise CommandError(f"no case or group contains {options['only']!r}")
        passes = {"with": [True], "without": [False], "both": [False, True]}[options["model"]]
        found: dict[str, list[Outcome]] = {}
        began = time.perf_counter()
        with sandbox(say=self.stderr.write):
            for with_model in passes:
                name = "with model" if with_model else "without model"
                found[name] = self._pass(cases, facility, with_model, options)
        self._report(found, time.perf_counter() - began)
        if options["out"]:
            self._write(options["out"], found)
        if options["calibrate"]:
            everything = [outcome for outcomes in found.values() for outcome in outcomes]
            bins_store(
                calibration_of(everything), command=f"evaluate_agent --model {options['model']}"
            )
        figures = [figures_of(outcomes) for outcomes in found.values()]
        bad = sum(f.harmful + f.false for f in figures)
        if bad:
            raise CommandError(f"{bad} harmful or false proposals")

    def _pass(
        self, cases: list[Case], facility: Any, with_model: bool, options: dict[str, Any]
    ) -> list[Outcome]:
        outcomes = []
        for number, case in enumerate(cases, start=1):
            outcome = case_run(
                case, facility, with_model=with_model, follow_twin=not options["no_twin"]
            )
            outcomes.append(outcome)
            self.stderr.write(f"{number}/{len(cases)} {table([outcome])[1]}")
        return outcomes

    def _report(self, found: dict[str, list[Outcome]], seconds: float) -> None:
        for name, outcomes in found.items():
            figures = figures_of(outcomes)
            self.stdout.write(f"\n{name}: {figures.faults} faults, {figures.healthy} healthy runs")
            for line in (*table(outcomes), "", *summary(figures)):
                self.stdout.write(line)
        self.stdout.write(f"\n{seconds:.0f} s")

    def _write(self, path: Path, found: dict[str, list[Outcome]]) -> None:
        document = {
            name: {
                "figures": figures_of(outcomes).as_dict(),
                "calibration": [list(b) for b in calibration_of(outcomes)],
                "cases": [outcome.as_dict() for outcome in outcomes],
            }
            for name, outcomes in found.items()
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
