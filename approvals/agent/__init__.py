"""The agent: looks at an alarm, at what is conspicuous or at what it is asked, picks at most one
action of the catalogue, and asks people to sign it.

It has no way to the plant. Its only product is a row in `approvals_proposal` and a record of how it
got there.
"""

from approvals.agent.investigate import alarms_to_investigate, investigate
from approvals.agent.patrol import investigation_answer, investigation_request, patrol

__all__ = [
    "alarms_to_investigate",
    "investigate",
    "investigation_answer",
    "investigation_request",
    "patrol",
]
