"""The overview: what is happening in the hall right now, on one screen."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Hall map, power, alarms and pending proposals."""
    return render(request, "ops_platform/overview.html", {"nav": "overview"})
