"""One shape for every API error: `{"code", "detail"}`, and field errors beside them."""

from typing import Any

from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn DRF's error bodies into `{"code", "detail"[, "fields"]}`."""
    response = exception_handler(error, context)
    if response is None:
        return None
    code = getattr(error, "default_code", "") or {404: "not_found", 403: "permission_denied"}.get(
        response.status_code, "error"
    )
    data = response.data
    if isinstance(data, dict) and "code" in data and "detail" in data:
        return response
    if isinstance(error, exceptions.ValidationError):
        response.data = {"code": "invalid", "detail": _first(data), "fields": data}
        return response
    if isinstance(error, exceptions.APIException):
        codes = error.get_codes()
        code = codes if isinstance(codes, str) else code
    response.data = {"code": code, "detail": _first(data)}
    return response


def _first(data: Any, prefix: str = "") -> str:
    """The first message in DRF's nested error body, with the field that it is about."""
    if isinstance(data, dict):
        name, value = next(iter(data.items()), ("", ""))
        path = name if name in {"detail", "non_field_errors"} else f"{prefix}{name}: "
        return _first(value, "" if path == name else path)
    if isinstance(data, list):
        return _first(data[0], prefix) if data else prefix
    return f"{prefix}{data}"
