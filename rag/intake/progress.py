"""Read-only queries on imports and embedding models, for their page and API."""

from typing import Any

from django.db.models import QuerySet

from rag.access import Reader, readable
from rag.intake.switching import fill_progress
from rag.models import EmbeddingModel, ImportJob


def import_jobs(reader: Reader) -> QuerySet[ImportJob]:
    """The jobs of collections that the reader may read, newest first, ready to be shown."""
    return (
        ImportJob.objects.filter(readable(reader, "collection"))
        .select_related("collection", "document", "revision", "created_by")
        .order_by("-id")
    )


def model_row(model: EmbeddingModel) -> dict[str, Any]:
    """An embedding model with its progress."""
    done, total = fill_progress(model)
    return {
        "name": model.name,
        "dimensions": model.dimensions,
        "state": model.state,
        "done": done,
        "total": total,
        "error": model.error,
        "serving_since": model.serving_since,
    }
