"""Heavy libraries stay out of processes that only use the client."""

import subprocess
import sys

import pytest

from kvserve.tests.conftest import environment

HEAVY = ("torch", "llama_cpp", "openai", "sentence_transformers", "numpy", "fastapi", "httpx")


@pytest.mark.parametrize(
    "module",
    ["kvserve.client", "kvserve.options", "kvserve.testing", "kvserve.server_main", "kvserve.apps"],
)
def test_it_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert result.stdout.strip() == "[]"


def test_the_probe_decodes_a_token() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "kvserve.probe"], capture_output=True, text=True, env=environment()
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("llama.cpp works: SmolLM2-135M-Instruct.Q4_1.gguf")


def test_the_probe_reports_a_file_that_is_no_model(tmp_path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    result = subprocess.run(
        [sys.executable, "-m", "kvserve.probe", str(broken)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert result.returncode == 1
    assert "llama.cpp could not load" in result.stdout
