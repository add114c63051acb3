"""What each driver's settings must say, as JSON schemas: data only, so that the admin console and the
API can check a binding without reaching the code that writes.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

_SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 60}
_HTTP = {"type": "string", "pattern": r"^https?://[^/\s]+"}
_NUMBER = {"type": "number"}
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
    "webhook": _settings(["url"], url=_HTTP, timeout_s=_SECONDS),
    "modbus": _settings(
        ["host", "points"],
        host={"type": "string", "minLength": 1},
        port={"type": "integer", "minimum": 1, "maximum": 65535},
        unit={"type": "integer", "minimum": 0, "maximum": 255},
        timeout_s=_SECONDS,
        points=_points(
            ["register"],
            register={"type": "integer", "minimum": 0, "maximum": 65535},
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
        ca_file={"type": "string"},
        timeout_s=_SECONDS,
        points=_points(
            ["path", "property"],
            path={"type": "string", "pattern": r"^/redfish/"},
            property={"type": "string", "pattern": "^/", "description": "JSON pointer"},
            scale=_SCALE,
        ),
    ),
}


def problems_of(driver: str, settings: Any) -> list[str]:
    """What is wrong with a binding's settings, one sentence each; empty when nothing is."""
    if driver not in SETTINGS:
        return [f"there is no driver {driver!r}; known are {', '.join(SETTINGS)}"]
    return [
        f"{'.'.join(map(str, error.path)) or 'settings'}: {error.message}"
        for error in Draft202012Validator(SETTINGS[driver]).iter_errors(settings)
    ]
