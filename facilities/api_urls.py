"""REST routes, mounted at ``/api/v1/``."""

from django.urls import path

from facilities.api.alarms import AlarmAcknowledge, AlarmList
from facilities.api.assets import AssetList, FacilityOverview
from facilities.api.ingest import ReadingsView
from facilities.api.points import PointDetail, PointList, PointSeries
from facilities.api.sources import SourceList

urlpatterns = [
    path("readings", ReadingsView.as_view()),
    path("points/", PointList.as_view()),
    path("points/<str:tag>/", PointDetail.as_view()),
    path("points/<str:tag>/series", PointSeries.as_view()),
    path("alarms/", AlarmList.as_view()),
    path("alarms/<int:pk>/acknowledge", AlarmAcknowledge.as_view()),
    path("assets/", AssetList.as_view()),
    path("facility/overview", FacilityOverview.as_view()),
    path("sources/", SourceList.as_view()),
]
