"""A Hugging Face hub on this machine: the endpoints that huggingface_hub asks for one model file."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """`files` of `repository`; `wrong_record` makes its checksums false, `cuts` breaks the next
    downloads half-way. `ranges` is what clients asked to continue from."""

    repository: str
    files: dict[str, bytes]
    wrong_record: bool = False
    cuts: int = 0
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def sha256(self, name: str) -> str:
        digest = hashlib.sha256(self.files[name]).hexdigest()
        return digest[::-1] if self.wrong_record else digest


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if path == f"/api/models/{hub.repository}":
                self.send_json(self.card())
            elif path.startswith(f"/{hub.repository}/resolve/"):
                self.send_file(path.rpartition("/")[2], with_body=with_body)
            else:
                self.fail("RepoNotFound", with_body=with_body)

        def card(self) -> dict[str, object]:
            siblings = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "lfs": {"sha256": hub.sha256(name), "size": len(data), "pointerSize": 134},
                }
                for name, data in hub.files.items()
            ]
            return {"id": hub.repository, "sha": COMMIT, "siblings": siblings}

        def send_json(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def fail(self, code: str, *, with_body: bool) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, name: str, *, with_body: bool) -> None:
            if name not in hub.files:
                return self.fail("EntryNotFound", with_body=with_body)
            data, start = hub.files[name], 0
            if match := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
                start = int(match[1])
                hub.ranges.append(match[1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("ETag", f'"{hub.sha256(name)}"')
            self.send_header("X-Linked-Etag", f'"{hub.sha256(name)}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if not with_body:
                return None
            if hub.cuts:
                hub.cuts -= 1
                self.wfile.write(data[start : start + (len(data) - start) * 3 // 4])
                self.close_connection = True
                return None
            self.wfile.write(data[start:])
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
