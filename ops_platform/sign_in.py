"""The form of the log-in page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from approvals.signing.throttle import CLOSED


class SignInForm(AuthenticationForm):
    """Django's, which also says when a name that was guessed at may be tried again."""

    def get_invalid_login_error(self) -> ValidationError:
        """One sentence for a wrong name and a wrong password; another while the name is closed."""
        until: Any = getattr(self.request, CLOSED, None)
        if until is None:
            return super().get_invalid_login_error()
        return ValidationError(
            f"Too many wrong passwords for this name; the next try is possible at "
            f"{until:%H:%M:%S} UTC.",
            code="too_many_attempts",
        )
