"""Every WebSocket route: each room owns its own, this file only adds them up."""

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import re_path

from approvals.routing import websocket_urlpatterns as approvals
from facilities.routing import websocket_urlpatterns as facilities
from rag.routing import websocket_urlpatterns as rag


class UnknownSocket(AsyncWebsocketConsumer):
    """Refuses a WebSocket on a path that nobody owns."""

    async def connect(self) -> None:
        await self.close(code=4404)


websocket_urlpatterns = [
    *facilities,
    *rag,
    *approvals,
    re_path(r"^.*$", UnknownSocket.as_asgi()),
]
