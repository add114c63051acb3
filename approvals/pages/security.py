"""How the signed-in person proves who they are: authenticators and recovery codes."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals.signing import totp


@require_GET
@login_required
def security(request: HttpRequest) -> HttpResponse:
    """Own authenticators; the buttons call the API."""
    user = cast(AbstractUser, request.user)
    return render(
        request,
        "approvals/security.html",
        {
            "nav": "approvals",
            "devices": totp.devices_of(user=user),
            "recovery_left": totp.recovery_left(user=user),
        },
    )
