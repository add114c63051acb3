"""Runs the agent on one case: plant to the alarm, database as if it were now, look, judge."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.test.utils import override_settings
from django.utils import timezone

from approvals.agent import alarms_to_investigate, investigate, patrol
from approvals.evaluation.cases import Case
from approvals.evaluation.measure import Outcome, Proposed
from approvals.evaluation.plant import PlantRun
from approvals.models import Investigation, Proposal
from facilities.demo.plant.points import FacilitySpec

log = logging.getLogger(__name__)

# The product's sweep looks again after a minute, at most this often here.
LOOKS, AGAIN_S = 3, 60.0
# Nothing answers at the discard port: the agent without a model.
NO_MODEL = ["http://127.0.0.1:9"]


class _RollBack(Exception):
    """Ends a case's transaction; what it wrote is gone."""


def case_run(case: Case, facility: FacilitySpec, *, with_model: bool, follow_twin: bool) -> Outcome:
    """One case. What goes wrong in it is told in `problem`; nothing it wrote is left."""
    found: list[Outcome] = []
    try:
        run = PlantRun(case, facility)
        with _model(with_model), _rolled_back():
            found.append(_run(case, run, follow_twin=follow_twin))
    except Exception as error:
        log.exception("case %s", case.name)
        return Outcome(
            case=case.name, group=case.group, healthy=case.healthy, with_model=False,
            alarm_s=None, looks=0, named="", likelihood=0.0, right_asset=False, right_class=False,
            proposed=(), plant_s=None, wall_s=0.0, conclusion="",
            problem=f"{type(error).__name__}: {error}"[:300],
        )  # fmt: skip
    return found[0]


def _run(case: Case, run: PlantRun, *, follow_twin: bool) -> Outcome:
    wall_s, looks, moments = 0.0, 0, run.at_s
    for looks in range(1, LOOKS + 1):
        now = timezone.now()
        run.deliver(now=now)
        if follow_twin:
            run.follow_twin(now=now)
        began = time.perf_counter()
        for alarm_id in alarms_to_investigate():
            investigate(alarm_id=alarm_id)
        patrol()
        wall_s += time.perf_counter() - began
        moments = run.at_s
        if Proposal.objects.exists() or case.healthy or looks == LOOKS:
            break
        run.step(AGAIN_S)
        # A minute of the plant is a minute for the agent: it may look again.
        Investigation.objects.update(
            started_at=now - timedelta(minutes=2),
            finished_at=now - timedelta(minutes=2),
        )
    return _judged(case, run, looks=looks, wall_s=wall_s, at_s=moments)


def _judged(case: Case, run: PlantRun, *, looks: int, wall_s: float, at_s: float) -> Outcome:
    proposals = list(Proposal.objects.order_by("pk"))
    investigations = list(Investigation.objects.order_by("pk"))
    proposed = tuple(_proposed(run, proposal) for proposal in proposals)
    told = next((i for i in investigations if i.proposal_id), next(iter(investigations), None))
    leading = told.hypotheses[0] if told and told.hypotheses else {}
    named = str(leading.get("asset", ""))
    expect = case.expect
    assets = {named, *(p.target for p in proposed)} - {""}
    silent_is_right = expect.none_ok and not proposed
    failed = next((i for i in investigations if i.outcome == "failed"), None)
    return Outcome(
        case=case.name,
        group=case.group,
        healthy=case.healthy,
        with_model=any(i.with_model for i in investigations),
        alarm_s=run.alarm_s,
        looks=looks,
        named=named,
        likelihood=float(leading.get("likelihood", 0.0)),
        right_asset=named in expect.assets
        or bool(assets & expect.assets)
        or (silent_is_right and not named),
        right_class=silent_is_right
        or (bool(proposed) and all(p.kind in expect.kinds for p in proposed)),
        proposed=proposed,
        plant_s=None
        if run.alarm_s is None or not proposed
        else round(max(0.0, at_s - run.alarm_s), 1),
        wall_s=round(wall_s, 2),
        conclusion=told.conclusion if told else "nothing to look at",
        problem=failed.conclusion if failed else "",
    )


def _proposed(run: PlantRun, proposal: Proposal) -> Proposed:
    harm = run.harm(proposal.writes)
    return Proposed(
        proposal.kind, proposal.target, proposal.title, harm.harmful, tuple(harm.reasons)
    )


@contextmanager
def _rolled_back() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
            raise _RollBack
    except _RollBack:
        pass


@contextmanager
def _model(wanted: bool) -> Iterator[None]:
    with override_settings(LLM_URLS=settings.LLM_URLS if wanted else NO_MODEL):
        yield
