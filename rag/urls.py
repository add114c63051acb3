"""Pages of the knowledge base and the chat, mounted at /."""

from django.urls import URLPattern, path

from rag.pages import (
    bench,
    chat,
    chat_feedback,
    chat_history,
    compare,
    document,
    evaluation,
    gaps,
    golden,
    imports,
    library,
    page_images,
    reports,
)

app_name = "rag"
urlpatterns: list[URLPattern] = [
    path("chat/", chat.chat, name="chat"),
    path("chat/history/", chat_history.history, name="chat-history"),
    path("chat/feedback/", chat_feedback.feedback, name="chat-feedback-list"),
    path("library/", library.library, name="library"),
    path("library/<slug:slug>/", document.document, name="document"),
    path("library/<slug:slug>/compare/", compare.compare, name="document-compare"),
    path("library/<slug:slug>/file", page_images.original, name="document-file"),
    path("library/<slug:slug>/pages/<int:page>.png", page_images.page_image, name="document-page"),
    path("knowledge/imports/", imports.imports, name="imports"),
    path("knowledge/bench/", bench.bench, name="bench"),
    path("knowledge/bench/save/", bench.bench_save, name="bench-save"),
    path("knowledge/golden/", golden.golden_list, name="golden"),
    path("knowledge/golden/<int:pk>/", golden.golden_change, name="golden-change"),
    path("knowledge/evaluation/", evaluation.evaluation, name="evaluation"),
    path("knowledge/evaluation/start/", evaluation.evaluation_start, name="evaluation-start"),
    path("knowledge/evaluation/compare/", evaluation.evaluation_compare, name="evaluation-compare"),
    path("knowledge/evaluation/<int:pk>/", evaluation.evaluation_run, name="evaluation-run"),
    path("knowledge/gaps/", gaps.gap_list, name="gaps"),
    path("knowledge/gaps/export.csv", gaps.gap_export, name="gaps-export"),
    path("knowledge/reports/", reports.report_list, name="reports"),
]
