"""Pages of the knowledge base and the chat, mounted at /."""

from django.urls import URLPattern, path

from rag import pages

app_name = "rag"
urlpatterns: list[URLPattern] = [
    path("chat/", pages.chat, name="chat"),
    path("library/", pages.library, name="library"),
    path("library/<slug:slug>/", pages.document, name="document"),
]
