"""Runs the agent on one case: plant to the alarm, database as if it were now, look, judge."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.test.utils import override_settings
from django.utils import timezone

from approvals.agent import alarms_to_investigate, investigate, patrol
from approvals.agent.replay import RecordError, replay
from approvals.evaluation.cases import Case
from approvals.evaluation.measure import Outcome, Proposed
from approvals.evaluation.plant import PlantRun
from approvals.evaluation.stock import Stock
from approvals.models import Investigation, Proposal
from facilities.demo.plant.points import FacilitySpec

log = logging.getLogger(__name__)

# The product's sweep looks again after a minute, at most this often here.
LOOKS, AGAIN_S = 3, 60.0
# A healthy run is looked at whenever an alarm comes (planned work raises some), and at its end.
MOST_LOOKS = 6
# Nothing answers at the discard port: the agent without a model.
NO_MODEL = ["http://127.0.0.1:9"]


class _RollBack(Exception):
    """Ends a case's transaction; what it wrote is gone."""


def case_run(
    case: Case,
    facility: FacilitySpec,
    *,
    voices: Sequence[bool] = (False,),
    follow_twin: bool,
    stock: Stock | None = None,
    records: Path | None = None,
) -> list[Outcome]:
    """One case, with the model (True) and without it (False), in the order of ``voices``.

    The plant, the readings and the twin are the same for every voice, so they are made once; the
    voices answer in savepoints and hear nothing of one another. What goes wrong is told in
    `problem`; nothing that a case wrote is left. ``records``: a folder for what the looks asked and
    were answered.
    """
    found: dict[bool, Outcome] = {}
    # With several faults an open proposal matters to the next look: each voice has its own world.
    apart = [[voice] for voice in voices] if case.expect.each else [list(voices)]
    try:
        for together in apart:
            run = PlantRun(case, facility, pause=True, stock=stock)
            with _rolled_back():
                _run(case, run, [_Voice(v) for v in together], found, follow_twin, records)
    except Exception as error:
        log.exception("case %s", case.name)
        problem = f"{type(error).__name__}: {error}"[:300]
        found = {**{voice: _broken(case, problem) for voice in voices}, **found}
    return [found[voice] for voice in voices]


def _broken(case: Case, problem: str) -> Outcome:
    return Outcome(
        case=case.name, group=case.group, healthy=case.healthy, with_model=False,
        alarm_s=None, looks=0, named="", likelihood=0.0, right_asset=False, right_class=False,
        proposed=(), plant_s=None, wall_s=0.0, conclusion="", problem=problem,
    )  # fmt: skip


@dataclass
class _Voice:
    """The agent with or without the model: what it has done so far in this case."""

    with_model: bool
    wall_s: float = 0.0
    looks: int = 0
    carried: list[Investigation] = field(default_factory=list)


def _run(
    case: Case,
    run: PlantRun,
    voices: list[_Voice],
    found: dict[bool, Outcome],
    follow_twin: bool,
    records: Path | None,
) -> None:
    if run.judged and not run.ended and run.alarm_s is None:
        run.deliver(now=timezone.now())  # the quality tests judge all the time in the product
    run.go_on()
    shared = len(voices) > 1
    while voices:
        now = timezone.now()
        run.deliver(now=now)
        if follow_twin:
            run.follow_twin(now=now)
        for voice in list(voices):
            if _heard(case, run, voice, now, found, records, shared=shared):
                voices.remove(voice)
        if not voices:
            return
        run.pass_on(AGAIN_S, looks=max(voice.looks for voice in voices))


def _heard(
    case: Case,
    run: PlantRun,
    voice: _Voice,
    now: datetime,
    found: dict[bool, Outcome],
    records: Path | None,
    *,
    shared: bool,
) -> bool:
    """One look of one voice; whether it was the last. A voice that shares the world leaves no row,
    and finds its own earlier looks again.
    """
    with transaction.atomic() if not shared else _rolled_back():
        if voice.carried:
            Investigation.objects.bulk_create(voice.carried)
            voice.carried = []
        # A minute of the plant is a minute for the agent: it may look again.
        Investigation.objects.update(
            started_at=now - timedelta(minutes=2), finished_at=now - timedelta(minutes=2)
        )
        began = time.perf_counter()
        with _model(voice.with_model):
            for alarm_id in alarms_to_investigate():
                investigate(alarm_id=alarm_id)
            patrol()
        voice.wall_s += time.perf_counter() - began
        voice.looks += 1
        ended = _enough(case, run, voice.looks)
        if ended:
            found[voice.with_model] = _judged(
                case, run, looks=voice.looks, wall_s=voice.wall_s, at_s=run.at_s
            )
            _keep_records(case, voice, records)
        elif shared:
            voice.carried = list(Investigation.objects.filter(proposal__isnull=True))
    return ended


def _keep_records(case: Case, voice: _Voice, folder: Path | None) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{case.name}.{'with' if voice.with_model else 'without'}.json"
    kept = [i.record for i in Investigation.objects.order_by("pk") if i.record]
    (folder / name).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def _enough(case: Case, run: PlantRun, looks: int) -> bool:
    if case.healthy:
        return run.ended or looks >= MOST_LOOKS or Proposal.objects.exists()
    most = MOST_LOOKS if run.judged else LOOKS
    found = Proposal.objects.exists() and not _missing(case)
    return found or looks >= most or (run.judged and run.ended and looks >= LOOKS)


def _missing(case: Case) -> list[frozenset[str]]:
    """Of a case with several faults, those that nothing was proposed for yet."""
    hit = set(Proposal.objects.values_list("target", flat=True))
    hit |= {
        str(found["asset"])
        for found in (
            next(iter(i.hypotheses or []), None)
            for i in Investigation.objects.filter(proposal__isnull=False)
        )
        if found
    }
    return [assets for assets in case.expect.each if not hit & assets]


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
    hit = named in expect.assets or bool(assets & expect.assets)
    replayed, diverged = _replayed(investigations)
    return Outcome(
        case=case.name,
        group=case.group,
        healthy=case.healthy,
        with_model=any(i.with_model for i in investigations),
        alarm_s=run.alarm_s,
        looks=looks,
        named=named,
        likelihood=float(leading.get("likelihood", 0.0)),
        right_asset=(hit and not _missing(case)) or (silent_is_right and not named),
        right_class=silent_is_right
        or (bool(proposed) and all(p.kind in expect.kinds for p in proposed)),
        proposed=proposed,
        plant_s=None
        if run.alarm_s is None or not proposed
        else round(max(0.0, at_s - run.alarm_s), 1),
        wall_s=round(wall_s, 2),
        conclusion=told.conclusion if told else "nothing to look at",
        problem=failed.conclusion if failed else "",
        replayed=replayed,
        diverged=diverged,
    )


def _replayed(investigations: list[Investigation]) -> tuple[int, tuple[str, ...]]:
    """How many records drew their conclusion again, and what differed."""
    drawn, found = 0, []
    for investigation in investigations:
        try:
            different = replay(investigation.record)
        except RecordError:
            continue  # a look that failed is told in `problem`
        drawn += 1
        found += [f"#{investigation.pk}{text}"[:200] for text in different]
    return drawn, tuple(found)


def _proposed(run: PlantRun, proposal: Proposal) -> Proposed:
    harm = run.harm(proposal.writes)
    alternatives = (proposal.case or {}).get("alternatives", [])
    return Proposed(
        proposal.kind,
        proposal.target,
        proposal.title,
        harm.harmful,
        tuple(harm.reasons),
        tuple(str(other["action"]) for other in alternatives),
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
