"""REST routes of the knowledge base and the chat, mounted at /api/v1/."""

from django.urls import URLPattern, path

from rag.api import growth
from rag.api.chat import AskView
from rag.api.collections import CollectionsView, CollectionView
from rag.api.documents import (
    DocumentsView,
    DocumentView,
    MoveView,
    PutInForceView,
    RestoreView,
    WithdrawView,
)
from rag.api.evaluation import EvaluationsView, EvaluationView
from rag.api.feedback import FeedbackGoldenView, FeedbackView
from rag.api.imports import CancelView, EmbeddingModelsView, ImportsView, ImportView, RetryView
from rag.api.search import SearchView
from rag.api.sessions import (
    SessionExportView,
    SessionRestoreView,
    SessionsView,
    SessionView,
)

urlpatterns: list[URLPattern] = [
    path("knowledge/search", SearchView.as_view(), name="knowledge-search"),
    path("knowledge/evaluations", EvaluationsView.as_view(), name="knowledge-evaluations"),
    path("knowledge/evaluations/<int:pk>", EvaluationView.as_view(), name="knowledge-evaluation"),
    path("knowledge/documents", DocumentsView.as_view(), name="knowledge-documents"),
    path("knowledge/documents/<slug:slug>", DocumentView.as_view(), name="knowledge-document"),
    path(
        "knowledge/documents/<slug:slug>/withdraw",
        WithdrawView.as_view(),
        name="knowledge-document-withdraw",
    ),
    path(
        "knowledge/documents/<slug:slug>/restore",
        RestoreView.as_view(),
        name="knowledge-document-restore",
    ),
    path(
        "knowledge/documents/<slug:slug>/move", MoveView.as_view(), name="knowledge-document-move"
    ),
    path(
        "knowledge/documents/<slug:slug>/revisions/<int:number>/put-in-force",
        PutInForceView.as_view(),
        name="knowledge-put-in-force",
    ),
    path("knowledge/imports", ImportsView.as_view(), name="knowledge-imports"),
    path("knowledge/imports/<int:job_id>", ImportView.as_view(), name="knowledge-import"),
    path(
        "knowledge/imports/<int:job_id>/retry", RetryView.as_view(), name="knowledge-import-retry"
    ),
    path(
        "knowledge/imports/<int:job_id>/cancel",
        CancelView.as_view(),
        name="knowledge-import-cancel",
    ),
    path("knowledge/collections", CollectionsView.as_view(), name="knowledge-collections"),
    path(
        "knowledge/collections/<slug:slug>", CollectionView.as_view(), name="knowledge-collection"
    ),
    path(
        "knowledge/embedding-models",
        EmbeddingModelsView.as_view(),
        name="knowledge-embedding-models",
    ),
    path("knowledge/gaps", growth.GapsView.as_view(), name="knowledge-gaps"),
    path("knowledge/gaps/<int:pk>/assign", growth.GapAssignView.as_view(), name="gap-assign"),
    path("knowledge/gaps/<int:pk>/link", growth.GapLinkView.as_view(), name="gap-link"),
    path("knowledge/gaps/<int:pk>/dismiss", growth.GapDismissView.as_view(), name="gap-dismiss"),
    path("knowledge/gaps/<int:pk>/reopen", growth.GapReopenView.as_view(), name="gap-reopen"),
    path("knowledge/reports", growth.ReportsView.as_view(), name="knowledge-reports"),
    path(
        "knowledge/reports/<int:pk>/release",
        growth.ReportReleaseView.as_view(),
        name="report-release",
    ),
    path(
        "knowledge/reports/<int:pk>/dismiss",
        growth.ReportDismissView.as_view(),
        name="report-dismiss",
    ),
    path(
        "knowledge/reports/<int:pk>/withdraw",
        growth.ReportWithdrawView.as_view(),
        name="report-withdraw",
    ),
    path(
        "knowledge/reports/<int:pk>/reopen",
        growth.ReportReopenView.as_view(),
        name="report-reopen",
    ),
    path("chat/ask", AskView.as_view(), name="chat-ask"),
    path("chat/sessions", SessionsView.as_view(), name="chat-sessions"),
    path("chat/sessions/<int:session_id>", SessionView.as_view(), name="chat-session"),
    path(
        "chat/sessions/<int:session_id>/restore",
        SessionRestoreView.as_view(),
        name="chat-session-restore",
    ),
    path(
        "chat/sessions/<int:session_id>/export",
        SessionExportView.as_view(),
        name="chat-session-export",
    ),
    path("chat/messages/<int:message_id>/feedback", FeedbackView.as_view(), name="chat-feedback"),
    path(
        "chat/feedback/<int:feedback_id>/golden",
        FeedbackGoldenView.as_view(),
        name="chat-feedback-golden",
    ),
]
