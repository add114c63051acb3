"""How long `make run` takes until somebody can work with it, the first time and every other time.

    python -m benchmarks.startup [--rounds 3] [--port 13000] [--output FILE]

Each round starts the whole product (`manage.py up`) on an empty data folder, waits for the pages,
for readiness and for the model's first token, stops it with SIGINT, and starts it again on the same
folder. Every figure is in seconds from the start of the process; medians with their spread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0
POLL_S = 0.1


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Start-up benchmark")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=13_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    figures: dict[str, list[dict[str, float]]] = {"first": [], "second": []}
    for number in range(options.rounds):
        folder = Path(tempfile.mkdtemp(prefix="holdpoint-bench-startup-"))
        folder.chmod(0o755)
        try:
            for name, rows in figures.items():
                rows.append(_start(folder, options.port))
                print(f"round {number + 1}, {name} start: {rows[-1]}", file=sys.stderr)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    report = {name: _summary(rows) for name, rows in figures.items()}
    text = json.dumps({"rounds": options.rounds, "seconds": report}, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def _start(folder: Path, port: int) -> dict[str, float]:
    """One start and stop over a data folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPS_")}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(port), "--quiet"],
        env={**environment, "OPS_DATA_DIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        found = {
            "pages": _until(process, f"http://127.0.0.1:{port}/login/", began),
            "ready": _until(process, f"http://127.0.0.1:{port}/health/ready", began),
            "model": _until(process, f"http://127.0.0.1:{port + 100}/v1/models", began),
        }
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    ending = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(60)
    return {**found, "stop": round(time.monotonic() - ending, 2)}


def _until(process: subprocess.Popen[bytes], url: str, began: float) -> float:
    while (waited := time.monotonic() - began) < LIMIT_S:
        if process.poll() is not None:
            raise SystemExit(f"`manage.py up` ended with status {process.returncode}")
        try:
            if httpx.get(url, timeout=1.0).status_code == 200:
                return round(waited, 2)
        except httpx.HTTPError:
            pass
        time.sleep(POLL_S)
    raise SystemExit(f"{url} did not answer 200 within {LIMIT_S:.0f} s")


def _summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "median": statistics.median(row[name] for row in rows),
            "least": min(row[name] for row in rows),
            "most": max(row[name] for row in rows),
        }
        for name in rows[0]
    }


if __name__ == "__main__":
    main()
