"""Agents' tokens on the REST API: the account may read and propose, and is refused the rest."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from approvals.outside.access import PREFIX, QuotaError, agent_of, agent_uses


class AgentAuthentication(BaseAuthentication):
    """`Authorization: Bearer hpa_…`; other headers are left to other authentications."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """The agent's account. Raises 403 for a token that is not valid, 429 above its share."""
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip().startswith(PREFIX):
            return None
        access = agent_of(token.strip())
        if access is None:
            raise AuthenticationFailed("This agent token is unknown, expired or revoked.")
        try:
            agent_uses(
                access=access, what=f"rest:{request.method}", facts={"path": request.path[:200]}
            )
        except QuotaError as error:
            raise Throttled(detail=error.detail) from error
        return access.account, access


class AgentScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI schema names it."""

    target_class = AgentAuthentication
    name = "agentToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer"}
