"""Error pages: JSON for the API, one readable page for people."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

_TEXTS = {
    403: (
        "permission_denied",
        "Not for your role",
        "Your role does not allow this page or action.",
    ),
    404: ("not_found", "Not found", "There is nothing at this address."),
    500: ("server_error", "Something broke here", "The error is in the log; nothing was changed."),
}


def _error(request: HttpRequest, status: int) -> HttpResponse:
    code, title, detail = _TEXTS[status]
    if request.path.startswith("/api/"):
        return JsonResponse({"code": code, "detail": detail}, status=status)
    return render(
        request,
        "ops_platform/error.html",
        {"status": status, "error_title": title, "detail": detail},
        status=status,
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _error(request, 500)
