"""plan_capacity: what a planned number of points, rates and retention needs here."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from facilities.board.cells import number
from facilities.board.measure import capacity_measure
from facilities.board.planner import Plan, PlanInput, capacity_plan, present, wanted_of


class Command(BaseCommand):
    """Print the plan; exit 1 with ``--check`` when it does not fit."""

    help = "What a planned number of points, rates and retention needs, and what breaks first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Every number defaults to the present data list and settings."""
        parser.add_argument("--points", help="planned number of points")
        parser.add_argument("--interval-s", help="mean sampling interval in seconds")
        parser.add_argument("--retention-days", help="days that readings are kept")
        parser.add_argument("--retention-1m-days", help="days that rollups by minute are kept")
        parser.add_argument("--retention-1h-days", help="days that rollups by hour are kept")
        parser.add_argument(
            "--measure", action="store_true", help="measure this installation first (ten seconds)"
        )
        parser.add_argument("--check", action="store_true", help="exit 1 when it does not fit")

    def handle(self, *args: Any, **options: Any) -> None:
        """Measure if asked, plan, print."""
        if options["measure"]:
            for measure in capacity_measure():
                self.stdout.write(
                    f"measured    {measure.name:<12} {number(measure.value):>10} {measure.unit:<11} "
                    f"{measure.how}"
                )
        given = {name: options[name] or "" for name in PlanInput._fields}
        try:
            plan = capacity_plan(wanted=wanted_of(present(), given))
        except ValueError as error:
            raise CommandError(str(error)) from error
        self._print(plan)
        if options["check"] and not plan.fits:
            raise CommandError("the plan does not fit this installation")

    def _print(self, plan: Plan) -> None:
        wanted = plan.wanted
        self.stdout.write(
            f"plan        {wanted.points:,} points every {number(wanted.interval_s)} s = "
            f"{number(plan.readings_per_s)} readings/s; readings {wanted.retention_days} days, "
            f"minutes {wanted.retention_1m_days}, hours {wanted.retention_1h_days}"
        )
        for need in plan.needs:
            share = "unknown" if need.share is None else f"{need.share:.1%}"
            mark = "" if need.measured else " (assumed)"
            self.stdout.write(
                f"{need.key:<11} {need.needed_text} of {need.available_text}: {share}{mark}\n"
                f"            {need.how}"
            )
        self.stdout.write(
            f"workers     {plan.web_workers} web processes, {plan.telemetry_workers} telemetry workers"
        )
        first = plan.breaks_first
        if first is None:
            self.stdout.write("breaks      nothing that is known")
            return
        verb = "breaks first" if plan.fits else "BREAKS"
        self.stdout.write(
            f"breaks      {first.title.lower()} {verb}: {first.share:.1%} used; at these rates "
            f"{plan.points_possible:,} points are possible"
        )
