"""Pages of the facility, mounted at ``/``."""

from django.urls import path

from facilities import (
    pages,
    pages_alarms,
    pages_board,
    pages_correlation,
    pages_energy,
    pages_gpus,
    pages_hall,
    pages_network,
    pages_point,
    pages_points,
    pages_quality,
    pages_quarantine,
    pages_snapshots,
    pages_sources,
    pages_twin,
    pages_whatif,
)
from facilities.api.push import influx_v1_push, influx_v2_push, otlp_push

app_name = "facilities"
urlpatterns = [
    path("twin/", pages_twin.twin, name="twin"),
    path("whatif/", pages_whatif.workbench, name="whatif"),
    path("quality/", pages_quality.points, name="quality"),
    path("quality/assets/", pages_quality.assets, name="quality-assets"),
    path("quality/sources/", pages_quality.sources, name="quality-sources"),
    path("quality/points/<str:tag>/", pages_quality.point, name="quality-point"),
    path("requirements/", pages_board.board, name="requirements"),
    path("requirements/plan/", pages_board.plan, name="plan"),
    path("api/v2/write", influx_v2_push),
    path("write", influx_v1_push),
    path("v1/metrics", otlp_push),
    path("points/", pages_points.points, name="points"),
    path("points/accept/", pages_points.points_accept, name="points-accept"),
    path("points/import/", pages_points.points_import, name="points-import"),
    path("sources/", pages_sources.sources, name="sources"),
    path("sources/<int:pk>/", pages_sources.source, name="source"),
    path("sources/<int:pk>/settings/", pages_sources.source_settings, name="source-settings"),
    path("sources/<int:pk>/token/", pages_sources.source_token, name="source-token"),
    path("sources/<int:pk>/converter/", pages_sources.source_converter, name="source-converter"),
    path("network/", pages_network.network, name="network"),
    path("quarantine/", pages_quarantine.quarantine, name="quarantine"),
    path("points/<str:tag>/", pages_point.point, name="point"),
    path("hall/", pages_hall.halls, name="halls"),
    path("hall/<str:slug>/", pages_hall.hall, name="hall"),
    path("gpus/", pages_gpus.gpus, name="gpus"),
    path("gpus/<str:tag>/", pages_gpus.gpu, name="gpu"),
    path("racks/<str:tag>/", pages_gpus.rack, name="rack"),
    path("snapshots/", pages_snapshots.snapshots, name="snapshots"),
    path("alarms/", pages_alarms.console, name="alarms"),
    path("alarms/metrics/", pages_alarms.performance, name="alarm-metrics"),
    path("alarms/rules/", pages_alarms.rules, name="alarm-rules"),
    path("alarms/maintenance/", pages_alarms.maintenance, name="alarm-maintenance"),
    path("alarms/notifications/", pages_alarms.notifications, name="alarm-notifications"),
    path("energy/", pages_energy.energy, name="energy"),
    path("assets/<str:tag>/", pages.asset, name="asset"),
    path(
        "points/<str:tag>/correlated/", pages_correlation.point_correlated, name="point-correlated"
    ),
    path(
        "alarms/<int:pk>/correlated/", pages_correlation.alarm_correlated, name="alarm-correlated"
    ),
]
