"""Pages of the knowledge base and the chat, mounted at /."""

from django.urls import URLPattern, path

from rag.pages import chat, document, library

app_name = "rag"
urlpatterns: list[URLPattern] = [
    path("chat/", chat.chat, name="chat"),
    path("library/", library.library, name="library"),
    path("library/<slug:slug>/", document.document, name="document"),
]
