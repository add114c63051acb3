"""Start the server without Django: `python -m kvserve.server_main --data-dir var --port 8100`."""

import argparse
import logging
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kvserve.errors import KvserveError, NotReady
from kvserve.options import add_arguments, engine_config
from kvserve.weights import model_store

if TYPE_CHECKING:
    import uvicorn

    from kvserve.api.service import Service
    from kvserve.reranker import Reranker

log = logging.getLogger("kvserve")

SEND_BUFFER_BYTES = 64 << 10  # a connection's; the kernel's own choice keeps megabytes of a stream
STOP_STREAMS_S = 1  # what open connections get to end after the engine has failed their requests
STOP_ENGINE_S = 1.0


def serve(options: argparse.Namespace, *, models_dir: Path) -> int:
    """Serve until SIGTERM or Ctrl-C, then end the process; returns only when it could not start.

    The port is taken first; /health answers 503 until the model is loaded. A model that can't be
    loaded ends the process with code 1 and the reason.
    """
    try:
        listener = _listen(options.host, options.port)
        service = _new_service(options, models_dir)
        api_key = options.api_key_file.read_text().strip() if options.api_key_file else ""
    except (KvserveError, ValueError, OSError) as error:
        log.error("%s", error)
        return 1
    server = _new_server(service, api_key)
    service.start()
    threading.Thread(target=_watch_load, args=(service, server), daemon=True).start()
    log.info("kvserve listens on http://%s:%d", options.host, listener.getsockname()[1])
    server.run(sockets=[listener])
    service.stop()
    service.engine.join(STOP_ENGINE_S)
    logging.shutdown()
    # A native call may still run, and tearing torch down takes a second; nothing is left to save.
    os._exit(1 if service.engine.error else 0)


def _new_service(options: argparse.Namespace, models_dir: Path) -> "Service":
    """Engine and embedder as asked for, not started.

    Raises:
        KvserveError, ValueError, OSError: a model is missing, an option is out of range.
    """
    from kvserve.api.service import Service
    from kvserve.embedder import Embedder
    from kvserve.engine.engine import Engine

    embedder, graphs = None, models_dir.parent / "graphs"
    if options.embedder != "none":
        embedder = Embedder(
            model_store.bundled_embedder(), model_name=options.embedder, graphs=graphs
        )
    path, name = _model(options, models_dir)
    options.disk_tier_dir = options.disk_tier_dir or models_dir.parent / "kvcache"
    return Service(
        Engine(engine_config(options, model_path=path), model_name=name),
        embedder,
        models_dir=models_dir if options.swap_models else None,
        lora_dir=options.lora_dir or models_dir.parent / "adapters",
        reranker=_reranker(options.reranker),
        embedder_dir=options.embedder_dir or models_dir.parent / "embedders",
        turn_s=options.model_turn_s,
    )


def _reranker(folder: Path | None) -> "Reranker | None":
    """The cross-encoder of a folder, not loaded. Raises OSError where there is none."""
    from kvserve.reranker import Reranker

    if folder is None:
        return None
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"--reranker {folder}: no config.json there, so no saved model")
    return Reranker(folder)


def _new_server(service: "Service", api_key: str) -> "uvicorn.Server":
    import uvicorn

    from kvserve.api.app import create_app

    class Server(uvicorn.Server):
        """Fails running requests at the first signal, so that their streams end at once."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.stop()
            self.force_exit = self.should_exit
            self.should_exit = True

    return Server(
        uvicorn.Config(
            create_app(service, api_key=api_key),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=STOP_STREAMS_S,
            timeout_keep_alive=30,
        )
    )


def _watch_load(service: "Service", server: "uvicorn.Server") -> None:
    """A server whose model can't be loaded is of no use: end it."""
    with suppress(NotReady):
        service.engine.wait_ready(timeout_s=None)
    if service.engine.error:
        server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from error
    return listener


def _model(options: argparse.Namespace, models_dir: Path) -> tuple[Path, str]:
    """The file to load and the name it is served under."""
    if options.model is None:
        path = model_store.prepare_bundled_model(models_dir)
        return path, options.served_model_name or model_store.BUNDLED_MODEL_ID
    return options.model, options.served_model_name or options.model.stem


def main() -> int:
    """Entry point without Django."""
    parser = argparse.ArgumentParser(prog="python -m kvserve.server_main", description=__doc__)
    add_arguments(parser)
    parser.add_argument(
        "--data-dir", type=Path, default=Path("var"), help="holds models/ (default: var)"
    )
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    return serve(options, models_dir=options.data_dir / "models")


if __name__ == "__main__":
    sys.exit(main())
