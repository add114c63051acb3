"""Refusals of a whole request."""

from __future__ import annotations


class IngestError(Exception):
    """The whole request is refused: HTTP status, code, what to do, and when to come back."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.retry_after_s = retry_after_s


def too_large(limit: int) -> IngestError:
    """Build the refusal of a body above ``limit`` bytes."""
    return IngestError(
        413,
        "too_large",
        f"the body is larger than {limit:,} bytes (after decompression); send smaller batches",
    )


def busy(what: str) -> IngestError:
    """Build the refusal for back-pressure: nothing is stored, the sender keeps the batch."""
    return IngestError(
        503,
        "busy",
        f"{what}; nothing of this request is stored, send it again in 1 s",
        retry_after_s=1,
    )


def database_away(retry_after_s: int = 2) -> IngestError:
    """Build the refusal while PostgreSQL cannot be reached."""
    return IngestError(
        503,
        "database_unavailable",
        "the database is away, nothing of this request is stored; "
        f"send it again in {retry_after_s} s",
        retry_after_s=retry_after_s,
    )
