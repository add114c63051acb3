"""Delivery against a real small HTTP server that refuses, stalls and then accepts."""

import json
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from facilities.demo.plant import outbox as outbox_module
from facilities.demo.plant.outbox import Batch, Outbox

TAGS = ["crac-1.supply_c", "crac-1.return_c"]


class Receiver:
    """Answers with the scripted (status, body) in turn, then accepts everything."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, Any]]] = []
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.bodies.append(body)
                receiver.tokens.append(self.headers["Authorization"])
                accepted = {"accepted": len(body["readings"]), "rejected": []}
                status, answer = receiver.script.pop(0) if receiver.script else (200, accepted)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def make_outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def make(url: str, *, start: bool = True, **options: Any) -> Outbox:
        outbox = Outbox(
            TAGS,
            web_url=url,
            read_token=options.pop("read_token", lambda: "hp_secret"),
            acked_log=tmp_path / "acked.log",
            retry_first_s=0.02,
            **options,
        )
        if start:
            outbox.start()
            made.append(outbox)
        return outbox

    yield make
    for outbox in made:
        outbox.stop()


def batch(number: int) -> Batch:
    return Batch(ts=f"2026-03-01T10:00:{number:02}.000Z", values=array("d", [18.0, 28.0 + number]))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_delivers_a_batch_and_records_it(
    receiver: Receiver, make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    outbox = make_outbox(receiver.url)
    outbox.put(batch(1))
    wait_for(lambda: outbox.counters.delivered == 1)
    assert receiver.tokens == ["Token hp_secret"]
    assert receiver.bodies[0]["readings"] == [
        {"point": "crac-1.supply_c", "ts": "2026-03-01T10:00:01.000Z", "value": 18.0},
        {"point": "crac-1.return_c", "ts": "2026-03-01T10:00:01.000Z", "value": 29.0},
    ]
    line = json.loads((tmp_path / "acked.log").read_text())
    assert line == {"ts": "2026-03-01T10:00:01.000Z", "accepted": 2, "rejected": []}


def test_it_resends_in_order_until_answered(
    receiver: Receiver, make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    receiver.script = [
        (503, {"code": "database_unavailable"}),
        (401, {"code": "bad_token"}),
        (500, {}),
    ]
    outbox = make_outbox(receiver.url)
    for number in (1, 2, 3):
        outbox.put(batch(number))
    wait_for(lambda: outbox.counters.delivered == 3)
    sent = [body["readings"][0]["ts"][17:19] for body in receiver.bodies]
    assert sent == ["01", "01", "01", "01", "02", "03"]
    acked = (tmp_path / "acked.log").read_text().splitlines()
    assert [json.loads(line)["ts"][17:19] for line in acked] == ["01", "02", "03"]


def test_it_waits_for_a_receiver_that_is_not_there_yet(
    receiver: Receiver, make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    token = tmp_path / "token"

    def read_token() -> str:
        return token.read_text()

    outbox = make_outbox(receiver.url, read_token=read_token)
    outbox.put(batch(1))
    wait_for(lambda: "token" in outbox.counters.last_error)
    assert outbox.pending == 1
    token.write_text("hp_late")
    wait_for(lambda: outbox.counters.delivered == 1)
    assert receiver.tokens == ["Token hp_late"]


def test_it_reports_rejected_readings(
    receiver: Receiver, make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    rejected = {"index": 1, "code": "out_of_range", "detail": "29 °C"}
    receiver.script = [(200, {"accepted": 1, "rejected": [rejected]})]
    outbox = make_outbox(receiver.url)
    outbox.put(batch(1))
    wait_for(lambda: outbox.counters.rejected_readings == 1)
    wait_for((tmp_path / "acked.log").exists)
    assert json.loads((tmp_path / "acked.log").read_text())["rejected"] == ["crac-1.return_c"]


def test_it_gives_up_on_a_batch_that_is_refused_for_good(
    receiver: Receiver, make_outbox: Callable[..., Outbox], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script = [(413, {"code": "too_large"})]
    outbox = make_outbox(receiver.url)
    outbox.put(batch(1))
    outbox.put(batch(2))
    wait_for(lambda: outbox.counters.delivered == 1)
    assert outbox.counters.refused == 1
    assert "refused for good" in caplog.text


def test_it_counts_and_logs_what_it_drops(
    make_outbox: Callable[..., Outbox], caplog: pytest.LogCaptureFixture
) -> None:
    outbox = make_outbox("http://127.0.0.1:9", start=False, capacity=2)
    for number in (1, 2, 3):
        outbox.put(batch(number))
    assert (outbox.pending, outbox.counters.dropped) == (2, 1)
    assert "dropped the batch of 2026-03-01T10:00:01.000Z" in caplog.text


def test_it_keeps_the_record_of_acknowledgements_bounded(
    receiver: Receiver,
    make_outbox: Callable[..., Outbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox_module, "ACKED_LOG_BYTES", 200)
    outbox = make_outbox(receiver.url)
    for number in range(20):
        outbox.put(batch(number))
    wait_for(lambda: outbox.counters.delivered == 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acked.log", "acked.log.1"]
    assert all(path.stat().st_size < 400 for path in tmp_path.iterdir())
