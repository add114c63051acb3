"""Compile kvserve's kernels (`kvserve/kernels/_kernels.so`) with the system's C compiler.

Run by `make` as a script after the engine is installed, whose ggml.h it compiles against. Without
a compiler, OpenMP or that header it says so and ends well: kvserve then runs llama.cpp's own
attention and products and names the reason.
"""

import hashlib
import os
import platform
import subprocess
import sysconfig
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "kvserve" / "kernels"
LIBRARY = FOLDER / "_kernels.so"
FAILURE = FOLDER / "_kernels.failed"  # why there is no library; kvserve shows it
FLAGS = ["-std=gnu11", "-O3", "-fPIC", "-fno-math-errno", "-fvisibility=hidden", "-fopenmp"]
FLAGS += ["-Wall", "-Wextra"]
GLUE = ["hook", "crowd", "attention_take", "attention_plan", "attention_threads"]
GLUE += ["product_take", "product_threads", "product_store"]
AVX2 = ["-DPA_USE_AVX2", "-mavx2", "-mfma", "-mf16c"]
AVX512 = ["-DPA_USE_AVX512", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *AVX2[1:]]
KERNELS = {"plain": [], "avx2": AVX2, "avx512": AVX512}
VNNI = [*AVX512[1:], "-mavx512vnni"]


def sources() -> str:
    """Hash of what the library is made from."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def header_folder() -> Path:
    """Where llama-cpp-python installed ggml.h."""
    folder = Path(sysconfig.get_paths()["platlib"]) / "include"
    if not (folder / "ggml.h").is_file():
        raise RuntimeError(f"{folder} has no ggml.h (was llama-cpp-python built from source?)")
    return folder


def compile_library(target: Path) -> None:
    """Each kernel once per instruction set, with exactly that set's flags.

    Raises:
        RuntimeError: with the compiler's last lines.
    """
    compiler = os.environ.get("CC", "cc").split()
    x86 = platform.machine() in {"x86_64", "AMD64"}
    define = [f'-DKERNEL_SOURCES="{sources()}"', f"-I{header_folder()}"]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        jobs = [(name, f"{name}.c", define) for name in GLUE]
        for isa, flags in KERNELS.items():
            if x86 or isa == "plain":
                jobs.append((isa, "attention_kernel.c", [f"-DPA_NAME=pa_kernel_{isa}", *flags]))
        if x86:
            jobs.append(("product", "product_kernel.c", VNNI))
        for name, source, flags in jobs:
            objects.append(f"{folder}/{name}.o")
            run([*compiler, *FLAGS, *flags, "-c", str(FOLDER / source), "-o", objects[-1]])
        built = f"{folder}/{target.name}"
        run([*compiler, "-shared", "-fopenmp", *objects, "-lm", "-lpthread", "-o", built])
        # in one move: a running server keeps the file it has open
        beside = target.with_suffix(".new")
        beside.write_bytes(Path(built).read_bytes())
        beside.replace(target)


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-10:])
        raise RuntimeError(f"{' '.join(command[:1])} failed:\n{tail}")


def say(text: str) -> None:
    print(f"kernels  | {text}", flush=True)  # noqa: T201


def main() -> None:
    FAILURE.unlink(missing_ok=True)
    try:
        compile_library(LIBRARY)
    except (RuntimeError, OSError) as error:
        LIBRARY.unlink(missing_ok=True)
        FAILURE.write_text(f"{error}\n")
        say(f"they could not be built: {error}")
        say("kvserve will run llama.cpp's stock attention and products")
        return
    say(
        f"built {LIBRARY.name} (attention: {', '.join(KERNELS)}; products: AVX-512 VNNI; the CPU chooses at run time)"
    )


if __name__ == "__main__":
    main()
