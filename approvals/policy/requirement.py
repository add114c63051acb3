"""What the policy asks for, of one proposal at one time (pure data)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

# Roles in ascending order (`ops_platform.roles`); a role may do what those before it may.
ROLE_ORDER = ("viewer", "operator", "supervisor", "admin")


@dataclass(frozen=True, slots=True)
class Requirement:
    """The signatures that one proposal needs.

    `signatures` people of at least `least_role`, of `distinct_roles` different roles (0: any).
    `because` has one sentence per rule that asked for more. Times in seconds. `rollback` is
    `offer` or `propose`. `maintenance_only`: it may be executed inside a maintenance window only.
    `on_freeze`: whether a procedure that a freeze overtakes goes on (`finish`) or waits before its
    next step (`hold`).
    """

    signatures: int = 1
    least_role: str = "operator"
    distinct_roles: int = 0
    reason: bool = False
    reauthenticate: bool = False
    editor_may_sign: bool = False
    maintenance_only: bool = False
    approval_valid_s: float = 1800.0
    execute_within_s: float = 900.0
    rollback: str = "offer"
    on_freeze: str = "hold"
    policy: int = 0
    because: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "because": list(self.because)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Requirement:
        """The stored requirement; a proposal from before there was a policy has the defaults."""
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        return cls(**{**values, "because": tuple(values.get("because", ()))})


def _highest(roles: Iterable[str]) -> str:
    return max(roles, key=ROLE_ORDER.index)


STRICTEST: Final[Mapping[str, Callable[[Iterable[Any]], Any]]] = {
    "signatures": max,
    "least_role": _highest,
    "distinct_roles": max,
    "reason": any,
    "reauthenticate": any,
    "editor_may_sign": all,
    "maintenance_only": any,
    "approval_valid_s": min,
    "execute_within_s": min,
    "rollback": max,  # "propose" asks for more than "offer"
    "on_freeze": max,  # "hold" stops more than "finish"
}
"""The strictest of several values of each field that a rule can set."""


def stricter(stored: Requirement, present: Requirement) -> Requirement:
    """Field by field the stricter of both: what was signed for, and what the policy says now."""
    both = (stored, present)
    values = {name: pick([getattr(r, name) for r in both]) for name, pick in STRICTEST.items()}
    return replace(
        present,
        **values,
        policy=max(r.policy for r in both),
        because=tuple(dict.fromkeys((*stored.because, *present.because))),
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """What a policy rule is matched against. `author` is agent, person or outside."""

    kind: str
    target: str
    target_kind: str
    hall: str
    risk: str
    author: str
    blast_radius: Mapping[str, Any]
    proposal_id: int | None = None


class Denial(NamedTuple):
    """Why something may not be done now. `until` is None where no time ends it."""

    code: str
    sentence: str
    until: datetime | None
    can_break_glass: bool


def role_of(user: Any) -> str:
    """The highest role of an account, admin for a superuser; '' for one without any."""
    if user.is_superuser:
        return ROLE_ORDER[-1]
    names = {group.name for group in user.groups.all()}
    return next((role for role in reversed(ROLE_ORDER) if role in names), "")
