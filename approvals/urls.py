"""Pages, mounted at /."""

from django.urls import path

from approvals.pages import audit, proposal, queue

app_name = "approvals"

urlpatterns = [
    path("approvals/", queue.queue, name="queue"),
    path("approvals/<int:pk>/", proposal.proposal, name="proposal"),
    path("approvals/<int:pk>/card", queue.card, name="card"),
    path("approvals/activity", queue.activity, name="activity"),
    path("approvals/investigations/<int:pk>/", proposal.investigation, name="investigation"),
    path("audit/", audit.audit, name="audit"),
]
