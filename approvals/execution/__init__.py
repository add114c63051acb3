"""Carries out an approved proposal: exactly once, whatever dies in between.

The only importer of `drivers`.

1. claim (`claim.py`): in one transaction the approval is held against everything once more, the
   assets are leased, approved → executing and the Execution row is made (the database checks the
   signatures on that insert);
2. every step in order (`run.py`): its hold, its writes, its conditions. A write is noted `sending`,
   sent with key `<execution key>:<index>`, and its answer noted;
3. finish (`progress.py`): executing → succeeded | failed | unknown; an unknown one is settled by
   looking (`unknowns.py`), a succeeded one is read back from telemetry (`confirm.py`).

Each step commits before the next begins. A repeat of the task finds what is done and goes on; a
write that was under way is sent again with its old key, which the plant applies only once. A
PostgreSQL advisory lock held by the worker's connection keeps two workers off one proposal and
vanishes with a killed worker; a worker that lost it all the same is stopped by the fence: every
note and every send is conditional on being the newest worker.
"""

from approvals.execution.confirm import confirm_open
from approvals.execution.orders import PlannedWrite, dry_run
from approvals.execution.progress import EXECUTOR, Executed
from approvals.execution.run import execute
from approvals.execution.unknowns import reconcile, reconcile_open, unknown_settle
from approvals.execution.waiting import waiting_sentence

__all__ = [
    "EXECUTOR",
    "Executed",
    "PlannedWrite",
    "confirm_open",
    "dry_run",
    "execute",
    "reconcile",
    "reconcile_open",
    "unknown_settle",
    "waiting_sentence",
]
