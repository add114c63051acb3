"""The worst language model there is: an OpenAI-compatible server that obeys every attack.

A real HTTP server on the loopback interface, for measuring that answers stay safe whatever the model
writes. It streams the draft that it was told, its own system prompt, or all of its sources, or calls
tools: one that proposes an action whether or not it was offered, and a reading tool as soon as it is
shown any word of the attack where it chooses one.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODES = ("obey", "leak", "parrot", "call")
_PROPOSE = {"target": "crac-1", "action": "stop", "value": 0}


class HostileModel:
    """What the server says next. `draft` is the obedient answer; `mode` one of MODES."""

    def __init__(self) -> None:
        self.draft = ""
        self.mode = "obey"
        self.poison: tuple[str, ...] = ()
        self.asked = 0
        self.url = ""

    def behave(self, draft: str, mode: str, poison: Sequence[str] = ()) -> None:
        """Answer so from now on; `poison` are sentences that only the attack's documents have."""
        self.draft, self.mode, self.poison = draft, mode, tuple(poison)

    def refusal(self, _body: dict[str, Any]) -> str:
        """Why the request is refused with 400; '' where it is answered."""
        return ""

    def calls(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The tools that it calls: none but in the mode `call`."""
        if self.mode != "call":
            return []
        wanted: list[tuple[str, dict[str, Any]]] = [
            ("propose", _PROPOSE),
            ("propose_action", _PROPOSE),
        ]
        said = " ".join(str(message.get("content")) for message in body.get("messages", []))
        offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
        if "alarms" in offered and any(sentence in said for sentence in self.poison):
            every = {"assets": [], "kinds": [], "state": "any", "severities": []}
            wanted.append(("alarms", every))
        return [
            {
                "index": number,
                "id": f"call-{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(wanted)
        ]

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
def hostile_model(given: HostileModel | None = None) -> Iterator[HostileModel]:
    """Serve a hostile model, or the given one, on a free port while the block runs."""
    model: HostileModel = given or HostileModel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(json.dumps({"object": "list", "data": [{"id": "hostile"}]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if refusal := model.refusal(body):
                self._send(json.dumps({"error": {"message": refusal}}), status=400)
                return
            text = model.says(body.get("messages", []))
            calls = model.calls(body)
            if not body.get("stream"):
                message: dict[str, Any] = {"role": "assistant", "content": text}
                if calls:
                    message["tool_calls"] = calls
                choice = {"message": message, "index": 0, "finish_reason": "stop"}
                self._send(json.dumps({"model": "hostile", "choices": [choice]}))
                return
            lines = [_chunk({"content": word + " "}) for word in text.split(" ")]
            lines += [_chunk({"tool_calls": calls})] * bool(calls)
            lines += [_chunk({}, "stop"), "data: [DONE]\n\n"]
            self._send("".join(lines), "text/event-stream")

        def _send(self, text: str, kind: str = "application/json", status: int = 200) -> None:
            raw = text.encode()
            self.send_response(status)
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


def _chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "x", "object": "chat.completion.chunk", "model": "hostile", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"
