"""Pages of the facility, mounted at ``/``."""

from django.urls import path

from facilities import pages

app_name = "facilities"
urlpatterns = [
    path("points/", pages.points, name="points"),
    path("points/<str:tag>/", pages.point, name="point"),
    path("alarms/", pages.alarm_console, name="alarms"),
    path("assets/<str:tag>/", pages.asset, name="asset"),
]
