"""Django app: documents, passages, retrieval, grounded answers and chat."""

from django.apps import AppConfig


class RagConfig(AppConfig):
    """Documents in force, and answers that cite them."""

    name = "rag"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Knowledge"

    def ready(self) -> None:
        """Register the chat's reading tools."""
        from rag.chat.live import register_all

        register_all()
