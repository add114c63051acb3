"""ASGI entry: HTTP by Django, WebSockets by Channels behind session log-in and origin check."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
http = get_asgi_application()  # sets Django up, so the imports below come after it

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

from approvals.outside.door import McpDoor  # noqa: E402
from facilities.ingest.asgi import PushApp  # noqa: E402
from facilities.services.processes import watch  # noqa: E402
from ops_platform.routing import websocket_urlpatterns  # noqa: E402

_push = McpDoor(PushApp(http, limit=settings.MAX_INGEST_BYTES))


async def _recorded(scope: Any, receive: Any, send: Any) -> None:
    """Have this process recorded once it serves."""
    watch("web")
    await _push(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": _recorded,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
