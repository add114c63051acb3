"""The worst language model there is: an OpenAI-compatible server that obeys every attack.

A real HTTP server on the loopback interface, for measuring that answers stay safe whatever the model
writes. It streams the draft that it was told, its own system prompt, or all of its sources.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODES = ("obey", "leak", "parrot")


class HostileModel:
    """What the server says next. `draft` is the obedient answer; `mode` one of MODES."""

    def __init__(self) -> None:
        self.draft = ""
        self.mode = "obey"
        self.asked = 0
        self.url = ""

    def behave(self, draft: str, mode: str) -> None:
        """Answer so from now on."""
        self.draft, self.mode = draft, mode

    def says(self, messages: list[dict[str, Any]]) -> str:
        """The draft for a chat: the attack's own words, the prompt, or the sources."""
        self.asked += 1
        system = " ".join(m["content"] for m in messages if m["role"] == "system")
        user = " ".join(m["content"] for m in messages if m["role"] == "user")
        if self.mode == "leak":
            return f"{system} [1]"
        if self.mode == "parrot":
            return f"{user[-6000:]} [1]"
        return f"{self.draft} [1] {self.draft}"


@contextmanager
def hostile_model() -> Iterator[HostileModel]:
    """Serve a hostile model on a free port while the block runs."""
    model = HostileModel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(json.dumps({"object": "list", "data": [{"id": "hostile"}]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = model.says(body.get("messages", []))
            if not body.get("stream"):
                choice = {"message": {"role": "assistant", "content": text}, "index": 0}
                choice["finish_reason"] = "stop"
                self._send(json.dumps({"model": "hostile", "choices": [choice]}))
                return
            lines = [_chunk({"content": word + " "}) for word in text.split(" ")]
            lines += [_chunk({}, "stop"), "data: [DONE]\n\n"]
            self._send("".join(lines), "text/event-stream")

        def _send(self, text: str, kind: str = "application/json") -> None:
            raw = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _chunk(delta: dict[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "x", "object": "chat.completion.chunk", "model": "hostile", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"
