"""One stack a data folder: the lock, what runs where, and what a crash left behind."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Any

import psutil


class AlreadyRunning(Exception):
    """Another `up` holds this data folder; the text says which process and port."""


class PortTaken(Exception):
    """A port that is needed is in use; the text names it and how to move the stack."""


def lock(data_dir: Path) -> IO[str]:
    """Take the data folder for this process; the kernel gives it back however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / "up.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        runtime = read_runtime(data_dir)
        raise AlreadyRunning(
            f"Holdpoint already runs over {data_dir} (process {runtime.get('pid', '?')}, "
            f"http://localhost:{runtime.get('port', '?')}). Stop it there with Ctrl-C, or use "
            "another clone with another PORT."
        ) from None
    return file


def read_runtime(data_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((data_dir / "runtime.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_runtime(data_dir: Path, *, port: int, children: dict[str, int]) -> None:
    """Record who runs here: commands find the ports, the next start finds the left-overs."""
    born = {}
    for name, pid in children.items():
        try:
            born[name] = {"pid": pid, "born": psutil.Process(pid).create_time()}
        except psutil.NoSuchProcess:
            continue
    partial = data_dir / ".runtime.json.new"
    partial.write_text(json.dumps({"port": port, "pid": os.getpid(), "children": born}))
    partial.replace(data_dir / "runtime.json")


def end_leftovers(data_dir: Path) -> list[str]:
    """End children of a crashed `up`, told by process id and birth time; return their names."""
    found: list[psutil.Process] = []
    names = []
    for name, child in read_runtime(data_dir).get("children", {}).items():
        try:
            process = psutil.Process(child["pid"])
            if abs(process.create_time() - child["born"]) > 0.01:
                continue
            # PostgreSQL's backends end with their postmaster; SIGINT asks it for a fast shutdown.
            found += [process, *process.children(recursive=True)]
            process.send_signal(2 if name == "postgres" else 15)
            names.append(name)
        except (psutil.NoSuchProcess, KeyError, TypeError):
            continue
    _gone, alive = psutil.wait_procs(found, timeout=5)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=3)
    return names


def check_ports(ports: dict[str, int], *, host: str, patience_s: float = 2.0) -> None:
    """Raise PortTaken for the first busy port; waits a little for a stack that is stopping."""
    deadline = time.monotonic() + patience_s
    for name, port in ports.items():
        address = host if name == "web" else "127.0.0.1"
        while not _is_free(address, port):
            if time.monotonic() > deadline:
                web = ports["web"]
                raise PortTaken(
                    f"Port {port} (for {name}) is already in use{_owner(port)}. Start on other "
                    f"ports with `make run PORT={web + 1000}` (or `python manage.py up --port "
                    f"{web + 1000}`); the other parts move along."
                )
            time.sleep(0.1)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" by process {connection.pid} ({name})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""
