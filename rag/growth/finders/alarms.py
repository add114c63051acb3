"""Alarms for which no procedure is in force."""

from datetime import datetime, timedelta

from facilities import selectors
from rag.growth.asking import procedure_for
from rag.growth.finders.found import Findings, Found
from rag.models import Gap

LOOK_BACK = timedelta(days=30)


def find(*, now: datetime) -> Findings:
    """Alarm rules that no procedure in force names or covers. One search per rule that none names
    (about 50 ms).
    """
    found: list[Found] = []
    settled: dict[str, int] = {}
    for subject in selectors.alarm_subjects(since=now - LOOK_BACK):
        question = question_of(rule=subject.rule, asset_kind=subject.asset_kind)
        asked = procedure_for(alarm=subject.rule, question=question)
        if asked.document_id is not None:
            settled[subject.rule] = asked.document_id
            continue
        found.append(
            Found(
                key=subject.rule,
                title=f"{subject.rule} ({subject.asset_kind_name})",
                seen_at=subject.last_raised or now,
                count=subject.raised,
                detail={
                    "question": question,
                    "severity": subject.severity,
                    "message": subject.message,
                    "last_raised": subject.last_raised and subject.last_raised.isoformat(),
                    "nearest": asked.nearest,
                },
            )
        )
    return Findings(Gap.Kind.ALARM, found, settled=settled)


def question_of(*, rule: str, asset_kind: str) -> str:
    """What is looked up for a rule: its name, with the kind of asset where it does not say it."""
    kind = asset_kind.replace("_", " ")
    return rule if kind in rule.casefold() else f"{kind} {rule}"
