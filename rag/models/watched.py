"""Files of the watch folder, as they were last seen."""

from typing import ClassVar

from django.db import models

from .job import ImportJob


class WatchedFile(models.Model):
    """One file of the watch folder.

    `path` is relative to the folder. A file is taken when `size` and `mtime_ns` stood still over
    two looks; `sha256` is of the bytes that were taken, empty before. `missing_since` is set while
    the file is gone (its document stays); `problem` says why a file is not taken.
    """

    path = models.CharField(max_length=500, unique=True)
    size = models.PositiveBigIntegerField()
    mtime_ns = models.BigIntegerField()
    seen_at = models.DateTimeField()
    is_taken = models.BooleanField(default=False)
    sha256 = models.CharField(max_length=64, blank=True)
    job = models.ForeignKey(
        ImportJob, on_delete=models.SET_NULL, null=True, blank=True, related_name="watched"
    )
    missing_since = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["path"]

    def __str__(self) -> str:
        return self.path
