"""Who is acting: the signed-in person of the request that is being answered, for audit entries that
are written where no request is at hand (signals of models).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

from approvals.audit import SYSTEM

_request: ContextVar[HttpRequest | None] = ContextVar("acting_request", default=None)


def acting_name() -> str:
    """The person's user name; `system` outside of a request and before anybody signed in."""
    user = getattr(_request.get(), "user", None)
    return user.get_username() if user is not None and user.is_authenticated else SYSTEM


@sync_and_async_middleware
def acting_user(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware, after authentication: remembers the request while it is being answered."""
    if iscoroutinefunction(get_response):
        answer_later: Callable[[HttpRequest], Awaitable[Any]] = get_response

        async def later(request: HttpRequest) -> Any:
            token = _request.set(request)
            try:
                return await answer_later(request)
            finally:
                _request.reset(token)

        return later

    def now(request: HttpRequest) -> Any:
        token = _request.set(request)
        try:
            return get_response(request)
        finally:
            _request.reset(token)

    return now
