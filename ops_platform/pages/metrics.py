"""Prometheus metrics; open to this host and to people who are signed in, not to strangers."""

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django_prometheus.exports import ExportToDjangoView


def export(request: HttpRequest) -> HttpResponse:
    """The process's metrics in the Prometheus text format."""
    local = request.META.get("REMOTE_ADDR") in {"127.0.0.1", "::1"}
    forwarded = "HTTP_X_FORWARDED_FOR" in request.META
    if request.user.is_authenticated or (local and not forwarded):
        return ExportToDjangoView(request)
    return HttpResponseForbidden("Sign in, or scrape from this host.\n", content_type="text/plain")
