"""What the figures were measured on and with."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("llama-cpp-python", "numpy", "torch", "fastapi", "uvicorn")


def facts() -> dict[str, Any]:
    """Processor, memory, kernel, versions, commit; what can't be found out is left out."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average_at_start": os.getloadavg(),
        "nice": psutil.Process().nice(),
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {name: value for name, value in found.items() if value}


def llama_server_version(binary: Path) -> str:
    """Its own words."""
    return _output(str(binary), "--version")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _output(*command: str) -> str:
    """What a command says, on one line; empty if it fails or can't be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode:
        return ""
    return "; ".join(
        line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()
    )
