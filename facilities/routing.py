"""WebSocket routes of the facility."""

from django.urls import path

from facilities.consumers import AlarmConsumer, TelemetryConsumer

websocket_urlpatterns = [
    path("ws/telemetry/", TelemetryConsumer.as_asgi()),
    path("ws/alarms/", AlarmConsumer.as_asgi()),
]
