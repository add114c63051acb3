"""REST routes of the knowledge base and the chat, mounted at /api/v1/."""

from django.urls import URLPattern, path

from rag.api.chat import AskView
from rag.api.knowledge import DocumentsView, SearchView

urlpatterns: list[URLPattern] = [
    path("knowledge/search", SearchView.as_view(), name="knowledge-search"),
    path("knowledge/documents", DocumentsView.as_view(), name="knowledge-documents"),
    path("chat/ask", AskView.as_view(), name="chat-ask"),
]
