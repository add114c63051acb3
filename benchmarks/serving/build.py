"""The peers' software: llama-server of the installed llama.cpp, the extras of llama_cpp.server."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from importlib import metadata
from pathlib import Path

from ops_platform.install.engine import build_environment

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "llama-cpp-python"


class CannotBuild(RuntimeError):
    """A peer can't be had here; with the reason."""


def llama_server(folder: Path) -> Path:
    """Build llama-server from the source distribution of the installed llama-cpp-python, once.

    About 5 minutes on 2 cores. The compiler flags are those of the library's own build (this
    machine's instructions, without AMX), so both run the same kernels.

    Raises:
        CannotBuild: a tool is missing, the source can't be had, or it does not compile.
    """
    version = metadata.version(PACKAGE)
    folder = folder / f"llama.cpp-{version}"
    binary = folder / "build" / "bin" / "llama-server"
    if binary.is_file():
        return binary
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            raise CannotBuild(f"building llama-server needs {tool}, which is not on the path")
    folder.mkdir(parents=True, exist_ok=True)
    source = _source(folder, version)
    configure = ["cmake", "-S", str(source), "-B", str(folder / "build")]
    configure += ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
    configure += ["-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_BUILD_WEBUI=OFF"]
    log = folder / "build.log"
    log.unlink(missing_ok=True)
    _logged(configure, log)
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    build = ["cmake", "--build", str(folder / "build"), "--target", "llama-server"]
    _logged([*build, "--parallel", jobs], log)
    if not binary.is_file():
        raise CannotBuild(f"the build ended without {binary}; its log is {log}")
    return binary


def _source(folder: Path, version: str) -> Path:
    """llama.cpp's source as llama-cpp-python vendors it."""
    unpacked = folder / f"llama_cpp_python-{version}"
    source = unpacked / "vendor" / "llama.cpp"
    if not (source / "CMakeLists.txt").is_file():
        print(f"fetching the source of {PACKAGE} {version}", flush=True)
        _pip(
            "download",
            "--no-deps",
            "--no-binary",
            PACKAGE,
            "-d",
            str(folder),
            f"{PACKAGE}=={version}",
        )
        archive = next(folder.glob(f"llama_cpp_python-{version}.tar.gz"), None)
        if archive is None:
            raise CannotBuild(f"pip fetched no source of {PACKAGE} {version} to {folder}")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return source


def library_extras(folder: Path) -> Path:
    """What `llama_cpp.server` imports and this environment lacks, in a folder of its own.

    Raises:
        CannotBuild: pip could not get it.
    """
    wanted = [
        line
        for line in metadata.requires("llama-cpp-python") or []
        if "'server'" in line.replace('"', "'")
    ]
    requirements = [line.split(";")[0].strip() for line in wanted]
    missing = [line for line in requirements if not _installed(re.split(r"[<>=!~ \[(]", line)[0])]
    if missing and not (folder / ".complete").is_file():
        print(f"fetching what llama_cpp.server needs: {', '.join(missing)}", flush=True)
        constraints = ("-c", str(ROOT / "constraints.txt"))
        _pip("install", "--target", str(folder), "--upgrade", *constraints, *missing)
        (folder / ".complete").touch()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=build_environment(),
    )
    if done.returncode:
        raise CannotBuild(f"pip {arguments[0]} failed:\n{done.stderr.strip()[-800:]}")


def _logged(command: list[str], log: Path) -> None:
    """Run a compile step with its progress every ten seconds, its whole output in `log`."""
    shown = time.monotonic()
    with log.open("a") as output:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=build_environment(),
        )
        try:
            for line in process.stdout or ():
                output.write(line)
                step = re.match(r"\[\s*(\d+%|\d+/\d+)\]", line)
                if step and time.monotonic() - shown > 10:
                    shown = time.monotonic()
                    print(f"building llama-server: {step[1]}", flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.wait():
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise CannotBuild(f"llama-server could not be built; end of {log}:\n{tail}")
