"""Finding decided and open proposals: words, filters, and a file of what was found."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time
from typing import Any, Final

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from approvals.models import Decision, Proposal
from approvals.states import OPEN_STATES, ProposalState, Risk

CONFIG: Final = "english"
FIELDS: Final = ("title", "rationale", "target", "kind")
"""The words of these are indexed (`approvals_proposal_words`); reasons of decisions are searched too."""

LONGEST: Final = 200
EXPORT_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for; empty fields look for everything. `problems` says what was not
    understood and therefore left out.
    """

    q: str = ""
    kind: str = ""
    target: str = ""
    person: str = ""
    state: str = ""
    risk: str = ""
    since: datetime | None = None
    until: datetime | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def is_filtered(self) -> bool:
        return any(value for name, value in asdict(self).items() if name != "problems")


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """A query string as a search. Never raises: what is no state, risk or time is a problem."""
    text = {
        name: query.get(name, "").replace("\0", "").strip()[:LONGEST]
        for name in ("q", "kind", "target", "person", "state", "risk")
    }
    problems = []
    if text["state"] not in ("", "open", "ended", *ProposalState.values):
        problems.append(f"{text['state']!r} is not a state")
        text["state"] = ""
    if text["risk"] not in ("", *Risk.values):
        problems.append(f"{text['risk']!r} is not a risk")
        text["risk"] = ""
    times: dict[str, datetime | None] = {}
    for name, of_day in (("since", time.min), ("until", time.max)):
        given = query.get(name, "").strip()[:40]
        times[name] = moment_of(given, of_day)
        if given and times[name] is None:
            problems.append(f"{given!r} is not a time; write 2026-11-21 or 2026-11-21T14:30")
    return Wanted(**text, since=times["since"], until=times["until"], problems=problems)


def moment_of(text: str, of_day: time) -> datetime | None:
    """A day or a moment, UTC where it names no zone; a day becomes its beginning or end."""
    try:
        day = parse_date(text) if len(text) == len("2026-11-21") else None
        moment = datetime.combine(day, of_day) if day else parse_datetime(text)
    except ValueError:
        return None
    if moment is None:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def proposals_search(wanted: Wanted) -> QuerySet[Proposal]:
    """Proposals that fit, newest first; words by PostgreSQL's full text (`"exact phrase"`, `-not`),
    in the proposal's own texts and in the reasons of its decisions. Pass through `select`.
    """
    found = Proposal.objects.order_by("-pk")
    if wanted.q:
        query = SearchQuery(wanted.q, search_type="websearch", config=CONFIG)
        of_text = Proposal.objects.annotate(words=SearchVector(*FIELDS, config=CONFIG)).filter(
            words=query
        )
        of_reasons = Decision.objects.annotate(words=SearchVector("reason", config=CONFIG)).filter(
            words=query
        )
        matches = Q(pk__in=of_text.values("pk")) | Q(pk__in=of_reasons.values("proposal"))
        number = wanted.q.removeprefix("#")
        if number.isascii() and number.isdigit() and len(number) < 18:
            matches |= Q(pk=int(number))
        found = found.filter(matches)
    if wanted.person:
        by = {"agent": Q(requested_by=None)}.get(
            wanted.person, Q(requested_by__username=wanted.person)
        )
        decided = Decision.objects.filter(user__username=wanted.person).values("proposal")
        found = found.filter(by | Q(edited_by__username=wanted.person) | Q(pk__in=decided))
    if wanted.state == "open":
        found = found.filter(state__in=OPEN_STATES)
    elif wanted.state == "ended":
        found = found.exclude(state__in=OPEN_STATES)
    elif wanted.state:
        found = found.filter(state=wanted.state)
    for name in ("kind", "target", "risk"):
        if value := getattr(wanted, name):
            found = found.filter(**{name: value})
    if wanted.since:
        found = found.filter(created_at__gte=wanted.since)
    if wanted.until:
        found = found.filter(created_at__lte=wanted.until)
    return found


def select(found: QuerySet[Proposal]) -> QuerySet[Proposal]:
    """What a row of the history shows: a fixed number of queries."""
    return (
        found.select_related("requested_by", "effect", "drill")
        .prefetch_related("decisions__user")
        .defer("prediction", "steps", "case", "preconditions", "evidence", "citations")
    )


COLUMNS: Final = (
    "id", "title", "kind", "target", "risk", "state", "asked_by", "created_at", "ended_at",
    "decisions", "reasons", "effect_before", "effect_after", "effect_unit", "digest", "rationale",
)  # fmt: skip


def row_of(proposal: Proposal) -> dict[str, Any]:
    """One proposal as a row of the export."""
    effect = getattr(proposal, "effect", None)
    decisions = list(proposal.decisions.all())
    ended = proposal.state not in OPEN_STATES
    return {
        "id": proposal.pk,
        "title": proposal.title,
        "kind": proposal.kind,
        "target": proposal.target,
        "risk": proposal.risk,
        "state": proposal.state,
        "asked_by": proposal.author,
        "created_at": proposal.created_at.isoformat(),
        "ended_at": proposal.state_changed_at.isoformat() if ended else "",
        "decisions": "; ".join(f"{d.user.get_username()} {d.verdict}" for d in decisions),
        "reasons": "; ".join(d.reason for d in decisions if d.reason),
        "effect_before": effect.before if effect else None,
        "effect_after": effect.after if effect else None,
        "effect_unit": effect.unit if effect else "",
        "digest": proposal.digest,
        "rationale": proposal.rationale,
    }


def as_csv(found: Iterable[Proposal]) -> str:
    """The rows as CSV with a heading. Texts that a spreadsheet would run as a formula get a `'`."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for proposal in found:
        writer.writerow({name: _harmless(value) for name, value in row_of(proposal).items()})
    return file.getvalue()


def _harmless(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
