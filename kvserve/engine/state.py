"""Where a model stands in its life."""

from enum import StrEnum


class LoadState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"
