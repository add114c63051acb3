"""Refusals of a whole request."""

from __future__ import annotations


class IngestError(Exception):
    """The whole request is refused: HTTP status, code and what to do about it."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def too_large(limit: int) -> IngestError:
    """Build the refusal of a body above ``limit`` bytes."""
    return IngestError(
        413,
        "too_large",
        f"the body is larger than {limit:,} bytes (after decompression); send smaller batches",
    )
