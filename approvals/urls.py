"""Pages, mounted at /."""

from django.urls import path

from approvals.pages import (
    audit,
    handover,
    history,
    notifications,
    policy,
    proposal,
    queue,
    reviews,
    security,
    team,
    windows,
)

app_name = "approvals"

urlpatterns = [
    path("approvals/", queue.queue, name="queue"),
    path("approvals/<int:pk>/", proposal.proposal, name="proposal"),
    path("approvals/<int:pk>/card", queue.card, name="card"),
    path("approvals/<int:pk>/blast", proposal.blast, name="blast"),
    path("approvals/activity", queue.activity, name="activity"),
    path("approvals/gate", queue.gate, name="gate"),
    path("approvals/history/", history.history, name="history"),
    path("approvals/history/export", history.export, name="history-export"),
    path("approvals/notifications/", notifications.notifications, name="notifications"),
    path("approvals/investigations/<int:pk>/", proposal.investigation, name="investigation"),
    path("approvals/policy/", policy.policy, name="policy"),
    path("approvals/policy/who/", policy.who, name="policy-who"),
    path("approvals/propose/", policy.propose, name="propose"),
    path("approvals/windows/", windows.windows, name="windows"),
    path("approvals/security/", security.security, name="security"),
    path("approvals/reviews/", reviews.reviews, name="reviews"),
    path("approvals/team/", team.team, name="team"),
    path("approvals/handover/", handover.handover, name="handover"),
    path("approvals/handover/<int:pk>/", handover.note, name="handover-note"),
    path("audit/", audit.audit, name="audit"),
]
