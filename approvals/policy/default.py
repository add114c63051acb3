"""The policy that the product comes with; migration 0011 writes it as version 1.

Figures: the recommended rule set of shared/reference/rag_agents.md §7 (one signature other than
the requester's; two of distinct roles for high risk; execution within 15 min; break-glass needs two
later reviews within 24 h). The rates are assumed: far above what people sign in an hour, far below
what a runaway agent proposes.
"""

from __future__ import annotations

from typing import Any

DOCUMENT: dict[str, Any] = {
    "rules": [
        {
            "name": "Low risk",
            "match": {"risks": ["low"]},
            "require": {"signatures": 1, "least_role": "operator", "editor_may_sign": True},
        },
        {
            "name": "Medium risk",
            "match": {"risks": ["medium"]},
            "require": {"signatures": 1, "least_role": "operator"},
        },
        {
            "name": "High risk",
            "match": {"risks": ["high"]},
            "require": {
                "signatures": 2,
                "distinct_roles": 2,
                "reason": True,
                "reauthenticate": True,
            },
        },
        {
            "name": "No flood of changes",
            "match": {},
            "limits": {"per_hour": 120, "per_target_per_hour": 30},
        },
    ],
    "break_glass": {"enabled": True, "reviews": 2, "review_within_h": 24},
    "drills": {"enabled": False, "per_week": 1},
    "cool_down_s": {},
    "changes": {"second_person": True},
}
