"""Backup and restore of the whole database: readings, alarms, documents, proposals, audit trail.

A backup is a folder with `database.dump` (pg_dump's custom format) and `manifest.json`, which is
written last: a folder without it is no backup. A restore is loaded and checked beside the present
database and takes its place in one step; until then nothing is touched.
"""

from .dump import backup
from .load import restore
from .server import Refused

__all__ = ["Refused", "backup", "restore"]
