"""The form of a policy document (JSON schema, draft 2020-12): unknown fields are refused."""

from __future__ import annotations

from typing import Any, Final

from approvals.policy.requirement import ROLE_ORDER

SIGNING_ROLES: Final = ROLE_ORDER[1:]
"""Roles that may decide at all (`ops_platform.roles`)."""
MOST_SIGNATURES: Final = 5
LONGEST_S: Final = 14 * 86400
"""Approval and execution windows: at most two weeks (ONTAP multi-admin verification's bound)."""
SHORTEST_S: Final = 30

_TEXTS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 50,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 80},
}
_CLOCK = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_WEEKDAYS = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "integer", "minimum": 0, "maximum": 6},
}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 10_000}
_SECONDS = {"type": "number", "minimum": SHORTEST_S, "maximum": LONGEST_S}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _one_of(*values: str) -> dict[str, Any]:
    return {**_TEXTS, "items": {"enum": list(values)}}


PLACE: Final[dict[str, Any]] = {
    "risks": _one_of("low", "medium", "high"),
    "kinds": _TEXTS,
    "targets": _TEXTS,
    "target_kinds": _TEXTS,
    "halls": _TEXTS,
    "authors": _one_of("agent", "person", "outside"),
    "reaches": _object(
        {
            "racks": {**_COUNT, "minimum": 1},
            "gpus": {**_COUNT, "minimum": 1},
            "it_kw": {"type": "number", "exclusiveMinimum": 0},
        },
        minProperties=1,
    ),
}
TIME: Final[dict[str, Any]] = {
    "weekdays": _WEEKDAYS,
    "from": _CLOCK,
    "to": _CLOCK,
    "zone": {"type": "string", "minLength": 1, "maxLength": 60},
}
REQUIRE: Final[dict[str, Any]] = {
    "signatures": {"type": "integer", "minimum": 1, "maximum": MOST_SIGNATURES},
    "least_role": {"enum": list(SIGNING_ROLES)},
    "distinct_roles": {"type": "integer", "minimum": 0, "maximum": len(SIGNING_ROLES)},
    "reason": {"type": "boolean"},
    "reauthenticate": {"type": "boolean"},
    "editor_may_sign": {"type": "boolean"},
    "maintenance_only": {"type": "boolean"},
    "approval_valid_s": _SECONDS,
    "execute_within_s": _SECONDS,
    "rollback": {"enum": ["offer", "propose"]},
    "on_freeze": {"enum": ["finish", "hold"]},
}
LIMITS: Final[dict[str, Any]] = {
    "per_hour": {**_COUNT, "minimum": 1},
    "per_target_per_hour": {**_COUNT, "minimum": 1},
    "open_at_once": {**_COUNT, "minimum": 1},
    "max_racks": _COUNT,
    "max_gpus": _COUNT,
    "max_it_kw": {"type": "number", "minimum": 0},
}

RULE: Final[dict[str, Any]] = _object(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 80},
        "match": _object({**PLACE, **TIME}),
        "require": _object(REQUIRE),
        "limits": _object(LIMITS),
        "deny": {"type": "boolean"},
        "reason": {"type": "string", "maxLength": 300},
    },
    required=["name"],
)

DOCUMENT_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Holdpoint policy",
    **_object(
        {
            "rules": {"type": "array", "minItems": 1, "maxItems": 100, "items": RULE},
            "break_glass": _object(
                {
                    "enabled": {"type": "boolean"},
                    "reviews": {"type": "integer", "minimum": 1, "maximum": 5},
                    "review_within_h": {"type": "number", "minimum": 1, "maximum": 336},
                }
            ),
            "drills": _object(
                {
                    "enabled": {"type": "boolean"},
                    "per_week": {"type": "number", "exclusiveMinimum": 0, "maximum": 20},
                }
            ),
            "cool_down_s": {
                "type": "object",
                "additionalProperties": {"type": "number", "minimum": 0, "maximum": 86400},
            },
            "changes": _object({"second_person": {"type": "boolean"}}),
        },
        required=["rules"],
    ),
}

WINDOW_MATCH_SCHEMA: Final[dict[str, Any]] = _object(
    {name: part for name, part in PLACE.items() if name != "reaches"}
)
WEEKLY_SCHEMA: Final[dict[str, Any]] = _object(
    {"days": _WEEKDAYS, "from": _CLOCK, "to": _CLOCK, "zone": TIME["zone"]},
    required=["days", "from", "to", "zone"],
)
