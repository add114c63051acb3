"""How a process starts that refuses to be root, and dies when its parent dies (Linux)."""

import ctypes
import functools
import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_INSIDE_UID = 1000
SYSTEM_USER = "holdpoint-pg"

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: int = signal.SIGTERM) -> Callable[[], None]:
    """Return a preexec function: the kernel sends `signum` when the parent ends, however."""

    def preexec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum)

    return preexec


def _enter_user_namespace() -> None:
    """Give this process another user id in its own eyes; on disk it stays who it is."""
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) was refused")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_INSIDE_UID} 0 1")
    Path("/proc/self/gid_map").write_text(f"{_INSIDE_UID} 0 1")


@functools.cache
def user_namespaces_work() -> bool:
    """Whether this machine lets root enter a user namespace (containers often forbid it)."""
    try:
        done = subprocess.run(["/bin/true"], preexec_fn=_enter_user_namespace, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def unprivileged(folder: Path, *, on_parent_death: int) -> dict[str, object]:
    """Return Popen arguments under which PostgreSQL, which refuses to be root, will start.

    An ordinary user needs nothing. Root enters a user namespace, in which it is not root but
    still owns `folder`; where that is forbidden, a system user is created and given `folder`.
    Raises PermissionError with the folder's name when that user cannot reach it.
    """
    die = die_with_parent(on_parent_death)
    if os.geteuid() != 0:
        return {"preexec_fn": die}
    if folder.stat().st_uid == 0 and user_namespaces_work():

        def enter() -> None:
            _enter_user_namespace()
            die()

        return {"preexec_fn": enter}
    return {"preexec_fn": die, **_as_system_user(folder)}


def _as_system_user(folder: Path) -> dict[str, object]:
    try:
        user = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(
            [
                "useradd",
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                SYSTEM_USER,
            ],
            check=True,
        )
        user = pwd.getpwnam(SYSTEM_USER)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise PermissionError(
                f"PostgreSQL does not run as root, and its user {SYSTEM_USER} cannot pass through "
                f"{parent}. Move the clone to a folder that others may enter (chmod o+x), or run "
                "as an ordinary user."
            )
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
