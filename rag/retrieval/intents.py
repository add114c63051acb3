"""What kind of part of a document a question asks for, by its wording and the part's heading.

Procedures and runbooks everywhere have the same few parts: purpose, roles, prerequisites, steps,
back-out, abort criteria (MOP and EOP templates of data-centre operators); meaning, impact,
diagnosis, mitigation (Prometheus runbooks). A question's wording often says which one is meant.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class _Part:
    """A kind of part: how its heading reads, and how a question for it does."""

    name: str
    heading: re.Pattern[str]
    question: re.Pattern[str]


def _part(name: str, heading: str, question: str) -> _Part:
    return _Part(
        name,
        re.compile(rf"\b(?:{heading})", re.IGNORECASE),
        re.compile(rf"\b(?:{question})\b", re.IGNORECASE),
    )


PARTS = (
    _part(
        "roles",
        r"roles?\b|responsib|contacts?\b|personnel|staff|teams?\b",
        r"who|whom|whose|responsible|which (?:role|person|team)|may i .* alone",
    ),
    _part(
        "abort",
        r"abort|stop criteria|stopping|termination|escalation",
        r"abort|give up|call off|leave the|stop the (?:procedure|test|work)|escalate",
    ),
    _part(
        "back-out",
        r"back-?out|roll-?back|revert|undo|restor|return to normal",
        r"undo|back-?out|roll(?:ed)? ?back|revert|put back|go back|back after|return to|reverse",
    ),
    _part(
        "prerequisites",
        r"prerequisite|requirement|before you|precondition|preparation|tools\b|materials\b",
        r"needed|need|before|prerequisites?|requirements?|prepare|take along|at hand"
        r"|normal(?:ly)?|expected|usual(?:ly)?|typical(?:ly)?|allowed",
    ),
    _part(
        "purpose",
        r"purpose|scope|overview|introduction|summary|about\b|background|meaning|description",
        r"what is|what are|what does|mean|means|meant|purpose|how (?:often|long|many|much)",
    ),
    _part(
        "impact",
        r"impact|consequence|severity|risks?\b",
        r"impact|consequences?|happens|affects?|affected|lose|still works?|risks?|urgent|severe",
    ),
    _part(
        "diagnosis",
        r"diagnos|troubleshoot|investigat|symptom",
        r"diagnose|troubleshoot|investigate|find out|causes?|caused|symptoms?|look at|check",
    ),
    _part(
        "mitigation",
        r"mitigation|resolution|remediation|solution|fix\b|repair|recovery",
        r"fix|solve|resolve|repair|clean up|recover|mitigate|get rid|free up|how (?:do|can|to)",
    ),
)

_DOING = re.compile(
    r"\b(how (do|can|should|to)|what (do|should|must|can) (i|we)|now what|what now|first|steps?)\b"
    r"|^(please )?(abort|acknowledge|add|apply|bring|cap|change|check|clean|clear|close|configure"
    r"|confirm|create|decide|delete|disable|drain|enable|find|hand|inspect|install|isolate|lower"
    r"|make|move|open|put|raise|read|reboot|remove|repair|replace|reset|restart|restore|rotate|run"
    r"|save|set|shed|shut|start|stop|swap|switch|test|tell|transfer|turn|update|upgrade|verify)\b",
    re.IGNORECASE,
)


def asks_to_do(question: str) -> bool:
    """Whether an action is asked for (`how do I …`, `restart the …`), not a fact."""
    return bool(_DOING.search(question)) and "roles" not in parts_asked(question)


def parts_asked(question: str) -> frozenset[str]:
    """The kinds of parts that the wording points at."""
    return frozenset(part.name for part in PARTS if part.question.search(question))


def part_of(heading: str) -> frozenset[str]:
    """The kinds of part that a heading announces."""
    return frozenset(part.name for part in PARTS if part.heading.search(heading))
