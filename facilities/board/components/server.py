"""The server: cores, memory and disk for the retention asked for, copies, and who can reach it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import psutil
from django.conf import settings
from django.db import connection

from facilities.board.cells import Cell, Evidence, State, duration, size
from facilities.board.context import Context
from facilities.board.planner import Need

KEY, TITLE = "server", "Server"

FEW_CRASHES = 3
MANY_CRASHES = 30
"""Processes that ended alone in 30 days; assumed: one in ten days, and one a day."""


def cells(context: Context) -> list[Cell]:
    """Stability, performance, computing power, storage, HA, external exposure."""
    return [
        _stability(context),
        _performance(context),
        _memory(context),
        _storage(context),
        _availability(context),
        _exposure(context),
    ]


def _need(context: Context, key: str) -> Need:
    return next(need for need in context.plan.needs if need.key == key)


def _stability(context: Context) -> Cell:
    up_s = time.time() - psutil.boot_time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        database: datetime = cursor.fetchone()[0]
    database_s = (context.now - database).total_seconds()
    seen = context.processes
    days = min((context.now - seen.since).total_seconds() / 86_400, 30) if seen.since else 0
    return Cell(
        "stability",
        "Stability (24/7)",
        f"this machine up {duration(up_s)}, the database {duration(database_s)}; "
        + (
            f"{seen.alone} crashes or single restarts in {days:.0f} days"
            if seen.since
            else "no process has signed in yet"
        ),
        State.UNKNOWN
        if seen.since is None
        else State.OK
        if seen.alone <= FEW_CRASHES
        else State.ATTENTION
        if seen.alone <= MANY_CRASHES
        else State.FAIL,
        "since the machine and the database started; lives of web and worker processes that ended "
        "while others went on",
        "the operating system, pg_postmaster_start_time(), and every process's own record",
        context.now,
        "A process signs in with the first request or task it serves."
        if seen.since is None
        else ""
        if seen.alone <= FEW_CRASHES
        else "See the logs folder for why they ended.",
        (Evidence("Health", "/health/ready"),),
        (f"{seen.starts} starts, {seen.together} stops of everything",) if seen.since else (),
    )


def _performance(context: Context) -> Cell:
    cores = psutil.cpu_count() or 1
    load = os.getloadavg()[1]
    need = _need(context, "cores")
    return Cell(
        "performance",
        "Performance",
        f"load {load:.2f} on {cores} cores; the data list needs {need.needed_text}",
        State.OK if load <= cores * 0.7 else State.ATTENTION if load <= cores else State.FAIL,
        f"five-minute load average against cores; {need.how}",
        "this machine and the capacity planner",
        context.now,
        "" if load <= cores * 0.7 else "Move workers to another machine, or add cores.",
        (Evidence("Capacity planner", "/requirements/plan/"),),
    )


def _memory(context: Context) -> Cell:
    memory = psutil.virtual_memory()
    free = memory.available / memory.total
    return Cell(
        "computing",
        "Computing power",
        f"{psutil.cpu_count()} cores, {size(memory.total)} memory, {free:.0%} free",
        State.OK if free > 0.2 else State.ATTENTION if free > 0.05 else State.FAIL,
        "what the operating system reports",
        "this machine (the web process asks)",
        datetime.now(UTC),
        "" if free > 0.2 else "Memory is short: fewer processes, a smaller model, or more memory.",
        (Evidence("Engine", "/engine/"),),
    )


def _storage(context: Context) -> Cell:
    need = _need(context, "storage")
    share = need.share
    state = State.UNKNOWN
    if share is not None:
        state = State.OK if share <= 0.8 else State.ATTENTION if share <= 1 else State.FAIL
    return Cell(
        "storage",
        "Storage for the retention",
        f"{need.needed_text} needed for {context.plan.wanted.retention_days} days, "
        f"{need.available_text}",
        state,
        need.how,
        "size of the tables here" if need.measured else "assumed size of a row",
        context.now,
        ""
        if state == State.OK
        else "Compare with the disk of the database's machine."
        if state == State.UNKNOWN
        else "Shorten OPS_RETENTION_DAYS, sample more slowly, or give the database a larger disk.",
        (Evidence("Capacity planner", "/requirements/plan/"),),
    )


def _availability(context: Context) -> Cell:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE sync_state <> 'async') "
                       "FROM pg_stat_replication")  # fmt: skip
        copies, in_step = cursor.fetchone()
    embedded = settings.CONFIG.embedded_database
    return Cell(
        "availability",
        "High availability",
        f"{copies} database copies ({in_step} synchronous)" if copies else "one database, no copy",
        State.OK if copies else State.ATTENTION,
        "standbys that stream from this database now",
        "pg_stat_replication" + ("; the database is the embedded one" if embedded else ""),
        context.now,
        "" if copies else "For 24/7 point OPS_DATABASE_URL to a managed PostgreSQL with a standby.",
        (Evidence("Health", "/health/ready"),),
    )


def _exposure(context: Context) -> Cell:
    names = sorted(set(settings.ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]"})
    https = settings.CONFIG.https
    open_to_all = "*" in names
    state = State.OK if https or not names else State.ATTENTION
    return Cell(
        "exposure",
        "External exposure",
        ("answers to every name" if open_to_all else f"answers to {', '.join(names)}")
        + (", HTTPS only" if https else ", without HTTPS")
        if names
        else "this machine only",
        State.FAIL if open_to_all else state,
        "names that the web process answers to, and whether HTTPS is forced",
        "OPS_ALLOWED_HOSTS and OPS_HTTPS",
        context.now,
        "Name the hosts in OPS_ALLOWED_HOSTS."
        if open_to_all
        else "Put TLS in front and set OPS_HTTPS."
        if state != State.OK
        else "",
        (Evidence("Sources and their networks", "/sources/"),),
    )
