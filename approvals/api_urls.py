"""REST routes, mounted at /api/v1/."""

from django.urls import path

from approvals.api import audit, views

urlpatterns = [
    path("proposals/", views.ProposalListView.as_view(), name="proposal-list"),
    path("proposals/<int:pk>/", views.ProposalView.as_view(), name="proposal-detail"),
    path("proposals/<int:pk>/dry-run", views.DryRunView.as_view(), name="proposal-dry-run"),
    path("proposals/<int:pk>/approve", views.ApproveView.as_view(), name="proposal-approve"),
    path("proposals/<int:pk>/reject", views.RejectView.as_view(), name="proposal-reject"),
    path("actions/", views.ActionListView.as_view(), name="action-list"),
    path("audit/", audit.AuditListView.as_view(), name="audit-list"),
    path("audit/anchors", audit.AuditAnchorsView.as_view(), name="audit-anchors"),
    path("audit/export", audit.AuditExportView.as_view(), name="audit-export"),
    path("audit/verify", audit.AuditVerifyView.as_view(), name="audit-verify"),
]
