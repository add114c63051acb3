"""REST routes, mounted at /api/v1/."""

from django.urls import path

from approvals.api import audit, notify, policy, views, windows

urlpatterns = [
    path("notifications/rules", notify.RuleListView.as_view(), name="notification-rules"),
    path("notifications/rules/<int:pk>", notify.RuleView.as_view(), name="notification-rule"),
    path(
        "notifications/rules/<int:pk>/test",
        notify.RuleTestView.as_view(),
        name="notification-rule-test",
    ),
    path("notifications/deliveries", notify.DeliveryListView.as_view(), name="deliveries-list"),
    path(
        "notifications/deliveries/<int:pk>/resend",
        notify.DeliveryResendView.as_view(),
        name="deliveries-resend",
    ),
    path("proposals/", views.ProposalListView.as_view(), name="proposal-list"),
    path("proposals/<int:pk>/", views.ProposalView.as_view(), name="proposal-detail"),
    path("proposals/<int:pk>/dry-run", views.DryRunView.as_view(), name="proposal-dry-run"),
    path("proposals/<int:pk>/approve", views.ApproveView.as_view(), name="proposal-approve"),
    path("proposals/<int:pk>/revise", views.ReviseView.as_view(), name="proposal-revise"),
    path("proposals/<int:pk>/reject", views.RejectView.as_view(), name="proposal-reject"),
    path("policy", policy.PolicyView.as_view(), name="policy"),
    path("policy/versions", policy.PolicyVersionListView.as_view(), name="policy-versions"),
    path(
        "policy/versions/<int:number>", policy.PolicyVersionView.as_view(), name="policy-version"
    ),
    path(
        "policy/versions/<int:number>/restore",
        policy.PolicyRestoreView.as_view(),
        name="policy-restore",
    ),
    path("policy/changes", policy.PolicyChangeListView.as_view(), name="policy-changes"),
    path(
        "policy/changes/<int:pk>/decide",
        policy.PolicyChangeDecideView.as_view(),
        name="policy-change-decide",
    ),
    path("policy/check", policy.PolicyCheckView.as_view(), name="policy-check"),
    path("policy/simulate", policy.PolicySimulateView.as_view(), name="policy-simulate"),
    path("policy/preview", policy.PolicyPreviewView.as_view(), name="policy-preview"),
    path("policy/windows", windows.WindowListView.as_view(), name="policy-windows"),
    path(
        "policy/windows/<int:pk>/cancel",
        windows.WindowCancelView.as_view(),
        name="policy-window-cancel",
    ),
    path("policy/calendar", windows.CalendarView.as_view(), name="policy-calendar"),
    path("actions/", views.ActionListView.as_view(), name="action-list"),
    path("audit/", audit.AuditListView.as_view(), name="audit-list"),
    path("audit/anchors", audit.AuditAnchorsView.as_view(), name="audit-anchors"),
    path("audit/export", audit.AuditExportView.as_view(), name="audit-export"),
    path("audit/verify", audit.AuditVerifyView.as_view(), name="audit-verify"),
]
