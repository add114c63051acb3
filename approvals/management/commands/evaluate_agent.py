"""`manage.py evaluate_agent`: the agent on every fault of the demo plant and on healthy runs."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.agent.calibration import bins_store
from approvals.evaluation.cases import DRAWN, FILE, HELD_OUT, Case, CaseError, cases_read
from approvals.evaluation.kept import Kept
from approvals.evaluation.measure import Outcome, calibration_of, figures_of, summary, table
from approvals.evaluation.runner import case_run
from approvals.evaluation.sandbox import sandbox
from approvals.evaluation.stock import Stock
from facilities.demo.plant.points import FacilitySpec, read_facility

NAMES = {False: "without model", True: "with model"}


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
            "--cases",
            default="scenarios",
            help="scenarios (the rules were written on them), held_out, drawn, or a file of their form",
        )
        parser.add_argument(
            "--resume",
            type=Path,
            help="keep each outcome in this file as it comes, and go on where it ends",
        )
        parser.add_argument(
            "--stock", type=Path, help="a folder for simulated plants, which a second run spares"
        )
        parser.add_argument(
            "--keep-database", action="store_true", help="leave the database for the next run"
        )
        parser.add_argument(
            "--records", type=Path, help="a folder for the records of all looks, as JSON"
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
        path = {"scenarios": FILE, "held_out": HELD_OUT, "drawn": DRAWN}.get(
            options["cases"], Path(options["cases"])
        )
        if options["calibrate"] and path != FILE:
            raise CommandError("--calibrate takes the cases that the rules were written on alone")
        try:
            cases = cases_read(facility, path=path)
        except CaseError as error:
            raise CommandError(str(error)) from error
        wanted = options["only"].lower().split(",")
        cases = [c for c in cases if any(w in f"{c.name} {c.group}".lower() for w in wanted)]
        if not cases:
            raise CommandError(f"no case or group contains {options['only']!r}")
        voices = {"with": [True], "without": [False], "both": [False, True]}[options["model"]]
        found: dict[str, list[Outcome]] = {NAMES[voice]: [] for voice in voices}
        kept = Kept(options["resume"])
        began = time.perf_counter()
        left = [c for c in cases if any(kept.get(name, c.name) is None for name in found)]
        make = sandbox(say=self.stderr.write, keep=options["keep_database"])
        with make if left else nullcontext():
            self._run(left, facility, voices, kept, options)
        for name, outcomes in found.items():
            outcomes += [o for c in cases if (o := kept.get(name, c.name)) is not None]
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

    def _run(
        self,
        cases: list[Case],
        facility: FacilitySpec,
        voices: list[bool],
        kept: Kept,
        options: dict[str, Any],
    ) -> None:
        stock = Stock(options["stock"])
        for number, case in enumerate(cases, start=1):
            outcomes = case_run(
                case,
                facility,
                voices=voices,
                follow_twin=not options["no_twin"],
                stock=stock,
                records=options["records"],
            )
            for voice, outcome in zip(voices, outcomes, strict=True):
                kept.add(NAMES[voice], outcome)
                self.stderr.write(f"{number}/{len(cases)} {table([outcome])[1]}")

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
