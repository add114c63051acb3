"""REST routes, mounted at ``/api/v1/``."""

from django.urls import path

from facilities.api.alarm_rules import (
    AlarmMetrics,
    EnvelopeDetail,
    EnvelopeList,
    RuleDetail,
    RuleList,
)
from facilities.api.alarms import (
    AlarmAcknowledge,
    AlarmAssign,
    AlarmDetail,
    AlarmList,
    AlarmNote,
    AlarmsAcknowledge,
    AlarmShelve,
    AlarmUnshelve,
)
from facilities.api.anomaly import AnomalyList, AnomalyScores, AnomalyStatus
from facilities.api.assets import AssetList, FacilityOverview
from facilities.api.board import BoardView, PlanView
from facilities.api.converters import (
    ConverterPreview,
    DerivedDetail,
    DerivedList,
    ReadyMapList,
    SourceConverter,
)
from facilities.api.correlation import AlarmCorrelated, PointCorrelated
from facilities.api.energy import EnergyChain, EnergyExport, EnergyMetrics, EnergyNow
from facilities.api.escalation import ChainDetail, ChainList
from facilities.api.gpus import GpuControl, GpuList, GpuLoss, RackTwinView
from facilities.api.halls import (
    HallEvents,
    HallFrames,
    HallIncidents,
    HallPlanView,
    HallPrediction,
    HallReplay,
)
from facilities.api.ingest import ReadingsView
from facilities.api.maintenance import WindowEnd, WindowList
from facilities.api.network import NetworkSpread, NetworkView
from facilities.api.notifications import (
    ChannelDetail,
    ChannelList,
    ChannelTest,
    DeliveryList,
    DeliveryResend,
)
from facilities.api.points import (
    PointDetail,
    PointList,
    PointsExport,
    PointsImport,
    PointsVerify,
)
from facilities.api.push import alertmanager_push, prometheus_push, redfish_push
from facilities.api.quality import (
    AssetQualityList,
    PointQualityDetail,
    PointQualityList,
    QualityTrendView,
    SourceQualityList,
)
from facilities.api.quarantine import QuarantineDiscard, QuarantineList, QuarantineReplay
from facilities.api.series import PointAlarms, PointExport, PointReadings, PointSeries, Wall
from facilities.api.snapshots import (
    BarrierList,
    SnapshotView,
    StoreStatus,
    WaitList,
    WatermarkList,
)
from facilities.api.sources import SourceDetail, SourceList, SourceRevoke, SourceRotate
from facilities.api.twin import (
    TwinAccuracyView,
    TwinFindings,
    TwinSensorsView,
    TwinStateView,
)
from facilities.api.whatif import (
    RunAgain,
    RunCancel,
    RunDetail,
    RunExportCsv,
    RunExportJson,
    RunList,
    WhatIf,
    WhatIfCatalogue,
)

urlpatterns = [
    path("twin/state", TwinStateView.as_view()),
    path("twin/accuracy", TwinAccuracyView.as_view()),
    path("twin/findings", TwinFindings.as_view()),
    path("twin/sensors", TwinSensorsView.as_view()),
    path("twin/whatif", WhatIf.as_view()),
    path("twin/whatif/catalogue", WhatIfCatalogue.as_view()),
    path("twin/whatif/runs/", RunList.as_view()),
    path("twin/whatif/runs/<int:pk>/", RunDetail.as_view()),
    path("twin/whatif/runs/<int:pk>/cancel", RunCancel.as_view()),
    path("twin/whatif/runs/<int:pk>/again", RunAgain.as_view()),
    path("twin/whatif/runs/<int:pk>/export.csv", RunExportCsv.as_view()),
    path("twin/whatif/runs/<int:pk>/export.json", RunExportJson.as_view()),
    path("quality/points/", PointQualityList.as_view()),
    path("quality/points/<str:tag>/", PointQualityDetail.as_view()),
    path("quality/assets/", AssetQualityList.as_view()),
    path("quality/sources/", SourceQualityList.as_view()),
    path("quality/trend", QualityTrendView.as_view()),
    path("requirements/", BoardView.as_view()),
    path("requirements/plan", PlanView.as_view()),
    path("readings", ReadingsView.as_view()),
    path("prometheus/write", prometheus_push),
    path("redfish/events", redfish_push),
    path("alertmanager", alertmanager_push),
    path("points/", PointList.as_view()),
    path("points/verify", PointsVerify.as_view()),
    path("points/export", PointsExport.as_view()),
    path("points/import", PointsImport.as_view()),
    path("points/<str:tag>/", PointDetail.as_view()),
    path("points/<str:tag>/series", PointSeries.as_view()),
    path("points/<str:tag>/readings", PointReadings.as_view()),
    path("points/<str:tag>/export.csv", PointExport.as_view()),
    path("points/<str:tag>/alarms", PointAlarms.as_view()),
    path("points/<str:tag>/correlated", PointCorrelated.as_view()),
    path("series", Wall.as_view()),
    path("snapshots/current", SnapshotView.as_view()),
    path("snapshots/watermarks", WatermarkList.as_view()),
    path("snapshots/barriers", BarrierList.as_view()),
    path("snapshots/waits", WaitList.as_view()),
    path("store/status", StoreStatus.as_view()),
    path("alarms/", AlarmList.as_view()),
    path("alarms/acknowledge", AlarmsAcknowledge.as_view()),
    path("alarms/metrics", AlarmMetrics.as_view()),
    path("alarms/<int:pk>/", AlarmDetail.as_view()),
    path("alarms/<int:pk>/acknowledge", AlarmAcknowledge.as_view()),
    path("alarms/<int:pk>/assign", AlarmAssign.as_view()),
    path("alarms/<int:pk>/note", AlarmNote.as_view()),
    path("alarms/<int:pk>/shelve", AlarmShelve.as_view()),
    path("alarms/<int:pk>/unshelve", AlarmUnshelve.as_view()),
    path("alarms/<int:pk>/correlated", AlarmCorrelated.as_view()),
    path("anomalies/", AnomalyList.as_view()),
    path("anomalies/scores", AnomalyScores.as_view()),
    path("anomalies/status", AnomalyStatus.as_view()),
    path("alarm-rules/", RuleList.as_view()),
    path("alarm-rules/<int:pk>/", RuleDetail.as_view()),
    path("envelopes/", EnvelopeList.as_view()),
    path("envelopes/<int:pk>/", EnvelopeDetail.as_view()),
    path("maintenance-windows/", WindowList.as_view()),
    path("maintenance-windows/<int:pk>/end", WindowEnd.as_view()),
    path("notification-channels/", ChannelList.as_view()),
    path("notification-channels/<int:pk>/", ChannelDetail.as_view()),
    path("notification-channels/<int:pk>/test", ChannelTest.as_view()),
    path("escalation-chains/", ChainList.as_view()),
    path("escalation-chains/<int:pk>/", ChainDetail.as_view()),
    path("deliveries/", DeliveryList.as_view()),
    path("deliveries/<int:pk>/resend", DeliveryResend.as_view()),
    path("assets/", AssetList.as_view()),
    path("facility/overview", FacilityOverview.as_view()),
    path("halls/<str:slug>/plan", HallPlanView.as_view()),
    path("halls/<str:slug>/frames", HallFrames.as_view()),
    path("halls/<str:slug>/events", HallEvents.as_view()),
    path("halls/<str:slug>/incidents", HallIncidents.as_view()),
    path("halls/<str:slug>/prediction", HallPrediction.as_view()),
    path("halls/<str:slug>/replay", HallReplay.as_view()),
    path("gpus/", GpuList.as_view()),
    path("gpus/<str:tag>/control", GpuControl.as_view()),
    path("gpus/<str:tag>/loss", GpuLoss.as_view()),
    path("racks/<str:tag>/twin", RackTwinView.as_view()),
    path("energy/metrics", EnergyMetrics.as_view()),
    path("energy/now", EnergyNow.as_view()),
    path("energy/export.csv", EnergyExport.as_view()),
    path("energy/chain", EnergyChain.as_view()),
    path("network/", NetworkView.as_view()),
    path("network/spread", NetworkSpread.as_view()),
    path("sources/", SourceList.as_view()),
    path("sources/<int:pk>/", SourceDetail.as_view()),
    path("sources/<int:pk>/rotate", SourceRotate.as_view()),
    path("sources/<int:pk>/revoke", SourceRevoke.as_view()),
    path("sources/<int:pk>/converter", SourceConverter.as_view()),
    path("sources/<int:pk>/converter/preview", ConverterPreview.as_view()),
    path("converter-maps/", ReadyMapList.as_view()),
    path("derived-points/", DerivedList.as_view()),
    path("derived-points/<int:pk>/", DerivedDetail.as_view()),
    path("quarantine/", QuarantineList.as_view()),
    path("quarantine/replay", QuarantineReplay.as_view()),
    path("quarantine/discard", QuarantineDiscard.as_view()),
]
