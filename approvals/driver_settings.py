"""What each driver's settings must say, as JSON schemas: data only, so that the admin console and the
API can check a binding without reaching the code that writes.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from approvals.driver_reach import refusal_of

_SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 60}
_HTTP = {"type": "string", "pattern": r"^https?://[^/\s]+"}
_NUMBER = {"type": "number"}
_FILE = {"type": "string", "minLength": 1}
_SETTLE = {"type": "number", "minimum": 0, "maximum": 30, "description": "s to show what it took"}
_BY_VALUE = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": r"^-?[0-9.]+$"},
    "description": "by the value that is ordered",
}
_SCALE = {"type": "number", "not": {"const": 0}, "description": "raw = value × scale + offset"}


def _settings(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _points(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "description": "by point tag",
        "additionalProperties": _settings(required, **properties),
    }


SETTINGS: dict[str, dict[str, Any]] = {
    "plant": _settings([]),
    "webhook": _settings(
        ["url"],
        url=_HTTP,
        status_url={
            **_HTTP,
            "pattern": r"^https?://[^/\s]+/.*\{key\}",
            "description": "with {key}",
        },
        ca_file=_FILE,
        timeout_s=_SECONDS,
    ),
    "modbus": _settings(
        ["host", "points"],
        host={"type": "string", "minLength": 1},
        port={"type": "integer", "minimum": 1, "maximum": 65535},
        unit={"type": "integer", "minimum": 0, "maximum": 255},
        timeout_s=_SECONDS,
        settle_s=_SETTLE,
        points=_points(
            ["register"],
            register={"type": "integer", "minimum": 0, "maximum": 65535},
            unit={"type": "integer", "minimum": 0, "maximum": 255},
            kind={"enum": ["holding", "coil"]},
            type={"enum": ["int16", "uint16", "int32", "uint32", "float32", "float64"]},
            word_order={"enum": ["big", "little"]},
            scale=_SCALE,
            offset=_NUMBER,
        ),
    ),
    "redfish": _settings(
        ["url", "username", "points"],
        url=_HTTP,
        username={"type": "string", "minLength": 1},
        auth={"enum": ["session", "basic"]},
        ca_file=_FILE,
        timeout_s=_SECONDS,
        task_s={"type": "number", "exclusiveMinimum": 0, "maximum": 120},
        settle_s=_SETTLE,
        points=_points(
            ["path"],
            path={"type": "string", "pattern": r"^/redfish/"},
            property={"type": "string", "pattern": "^/", "description": "JSON pointer"},
            scale=_SCALE,
            values={**_BY_VALUE, "additionalProperties": {"type": ["string", "boolean"]}},
            action={"type": "string", "pattern": r"^#[A-Za-z]+\.[A-Za-z]+$"},
            parameters={**_BY_VALUE, "additionalProperties": {"type": "object"}},
        ),
    ),
}


def problems_of(driver: str, settings: Any) -> list[str]:
    """What is wrong with a binding's settings, one sentence each; empty when nothing is."""
    if driver not in SETTINGS:
        return [f"there is no driver {driver!r}; known are {', '.join(SETTINGS)}"]
    found = [
        f"{'.'.join(map(str, error.path)) or 'settings'}: {error.message}"
        for error in Draft202012Validator(SETTINGS[driver]).iter_errors(settings)
    ]
    if found:
        return found
    points: dict[str, dict[str, Any]] = settings.get("points", {})
    for tag, point in points.items():
        if why := refusal_of(driver, tag):
            found.append(f"points.{tag}: {driver} does not carry it: {why}")
        if driver == "redfish" and "property" not in point and "action" not in point:
            found.append(f"points.{tag}: needs a property, an action, or both")
        if ("action" in point) != ("parameters" in point):
            found.append(f"points.{tag}: an action and its parameters belong together")
    return found
