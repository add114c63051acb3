"""Pages, mounted at /."""

from django.urls import path

from approvals import pages

app_name = "approvals"

urlpatterns = [
    path("approvals/", pages.queue, name="queue"),
    path("approvals/<int:pk>/", pages.proposal, name="proposal"),
    path("approvals/<int:pk>/card", pages.card, name="card"),
    path("approvals/activity", pages.activity, name="activity"),
    path("approvals/investigations/<int:pk>/", pages.investigation, name="investigation"),
    path("audit/", pages.audit, name="audit"),
]
