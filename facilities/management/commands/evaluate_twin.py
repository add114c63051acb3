"""``manage.py evaluate_twin``: judge the twin on recordings that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from facilities.demo.file import DEMO_FILE
from facilities.twin.estimate.evaluate import Recording, Replay, read_recording, replay
from facilities.twin.estimate.read import read_specs
from facilities.twin.estimate.tracker import Tracker
from facilities.twin.read import read_site

WARM_UP_S = 1800.0


class Command(BaseCommand):
    """Fit on one recording, then judge on the others with nothing learnt any more."""

    help = (
        "Judge the twin by ASHRAE Guideline 14 on recordings (folders with readings.npz, as "
        "`manage.py plant --scenario NAME --out FOLDER` writes them). The first is for learning, "
        "the others are held back: there the twin predicts and learns nothing. With one folder its "
        "first half is for learning and the second is held back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Folders, the facility file, how often, and where to write JSON."""
        parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
        parser.add_argument("--facility", type=Path, default=DEMO_FILE)
        parser.add_argument("--every", type=float, default=30.0, help="Seconds between snapshots")
        parser.add_argument(
            "--maintenance",
            action="store_true",
            help="Follow and learn throughout; tell what was found to wear out, and when",
        )
        parser.add_argument("--json", type=Path, help="Write everything to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print one table per held-back recording."""
        try:
            recordings = [read_recording(folder) for folder in options["folders"]]
            site = read_site(options["facility"])
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        specs, levels = read_specs(site, options["facility"])
        if options["maintenance"]:
            for recording in recordings:
                tracker = Tracker(site, specs, levels=levels, step_s=15.0)
                self._found(recording, replay(tracker, recording, every_s=options["every"]))
            return
        learning, held_back = _divided(recordings)
        tracker = Tracker(site, specs, levels=levels, step_s=15.0)
        every_s = options["every"]
        results = [replay(tracker, learning, every_s=every_s, warm_up_s=WARM_UP_S)]
        for recording in held_back:
            tracker.at_s = None  # its state begins from the recording's first snapshot
            tracker.frozen = True
            results.append(replay(tracker, recording, every_s=every_s, warm_up_s=WARM_UP_S))
        if options["json"]:
            document = {"learning": results[0].as_json(),
                        "held_back": [r.as_json() for r in results[1:]]}  # fmt: skip
            options["json"].write_text(json.dumps(document, indent=1, allow_nan=False, default=str))
        for result in results[1:]:
            self._table(result)

    def _found(self, recording: Recording, result: Replay) -> None:
        alarms = {a["point"]: a["first_s"] for a in recording.truth.get("alarms", ())}
        self.stdout.write(f"\n{result.name}: {len(result.findings)} findings")
        for after_s, finding in result.findings.values():
            alarm_s = alarms.get(finding.point)
            lead = "" if alarm_s is None else f" (alarm after {alarm_s:.0f} s: "
            lead += "" if alarm_s is None else f"{(alarm_s - after_s) / 3600:.1f} h earlier)"
            self.stdout.write(f"after {after_s:.0f} s{lead}: {finding.text}")

    def _table(self, result: Replay) -> None:
        found = result.step.results()
        self.stdout.write(f"\n{result.name}, held back: {result.turns} snapshots, nothing learnt")
        self.stdout.write(
            f"{'quantity':26}{'mean':>11}{'RMSE':>10}{'CV(RMSE)':>10}{'NMBE':>9}  hourly limits"
        )
        for name, fit in found.items():
            cv = "–" if fit.cv_rmse_pct is None else f"{fit.cv_rmse_pct:.2f} %"
            bias = "–" if fit.nmbe_pct is None else f"{fit.nmbe_pct:+.2f} %"
            verdict = "within" if fit.passed else "OUTSIDE"
            self.stdout.write(
                f"{name:26}{fit.mean:11.2f}{fit.rmse:10.3f}{cv:>10}{bias:>9}  {verdict}"
            )
        passed = sum(fit.passed for fit in found.values())
        self.stdout.write(f"{passed} of {len(found)} quantities within CV 30 %, NMBE 10 %")


def _divided(recordings: list[Recording]) -> tuple[Recording, list[Recording]]:
    """What is learnt from, and what is held back."""
    if len(recordings) > 1:
        return recordings[0], recordings[1:]
    only = recordings[0]
    length = float(only.ts[-1] - only.ts[0])
    return only.between(0.0, length / 2), [only.between(length / 2, length + 1.0)]
