"""The engine page: who sees it, and what it says of each kind of server."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.exceptions import ImproperlyConfigured

from kvserve import monitor
from ops_platform.config import EnergyPrice, load

pytestmark = pytest.mark.django_db

VLLM_METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="big"} 3.0
vllm:num_requests_running{engine="1",model_name="big"} 4.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="big"} 0.2
vllm:kv_cache_usage_perc{engine="1",model_name="big"} 0.6
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="big"} 1200.0
"""
Serve = Callable[[dict[str, tuple[int, str]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts somebody else's server: status and body by path."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, str]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(self.path.partition("?")[0], (404, "{}"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_every_role_sees_it(client_as, request, role) -> None:
    client = client_as(request.getfixturevalue(role))
    answer = client.get("/engine/")
    assert answer.status_code == 200
    assert b"Block map" in answer.content
    assert client.get("/api/v1/engine/0/").status_code == 200


def test_a_stranger_does_not(client) -> None:
    answer = client.get("/engine/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")
    assert client.get("/api/v1/engine/0/").status_code in {401, 403}


def test_it_has_a_tab_for_each_server_and_no_other(client_as, viewer, settings) -> None:
    settings.LLM_URLS = ["http://user:pw@llm-1:8100", "https://llm-2"]
    client = client_as(viewer)
    page = client.get("/engine/?server=1").content.decode()
    assert 'href="?server=0">llm-1:8100</a>' in page
    assert 'href="?server=1" aria-current="page">llm-2</a>' in page
    assert "pw@" not in page
    for query in ("2", "-1", "x"):
        assert client.get(f"/engine/?server={query}").status_code == 404
    assert client.get("/api/v1/engine/2/").status_code == 404


def test_it_shows_no_tabs_for_one_server(client_as, viewer) -> None:
    assert b'class="tabs"' not in client_as(viewer).get("/engine/").content


def test_it_passes_the_price_on(client_as, viewer, settings) -> None:
    settings.ENERGY_PRICE = EnergyPrice(0.28, "EUR")
    page = client_as(viewer).get("/engine/").content.decode()
    assert 'data-price="0.28" data-currency="EUR"' in page


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("", None),
        ("0.28 EUR", EnergyPrice(0.28, "EUR")),
        ("12", EnergyPrice(12, "")),
        ("0.1 US dollars", EnergyPrice(0.1, "US dollars")),
    ],
)
def test_it_reads_a_price(tmp_path, text, price) -> None:
    config = load({"OPS_DATA_DIR": str(tmp_path), "OPS_ENERGY_PRICE": text})
    assert config.energy_price == price


@pytest.mark.parametrize("text", ["cheap", "-1 EUR", "nan EUR"])
def test_it_refuses_what_is_no_price(tmp_path, text) -> None:
    with pytest.raises(ImproperlyConfigured):
        load({"OPS_DATA_DIR": str(tmp_path), "OPS_ENERGY_PRICE": text})


def test_it_refuses_a_wrong_since(client_as, viewer) -> None:
    answer = client_as(viewer).get("/api/v1/engine/0/?since=yesterday")
    assert answer.status_code == 400
    assert "seconds since 1970" in answer.json()["detail"]


def test_it_says_when_the_server_is_down(client_as, viewer, settings) -> None:
    settings.LLM_URLS = ["http://127.0.0.1:9"]  # the discard port: nothing listens
    report = client_as(viewer).get("/api/v1/engine/0/").json()
    assert report == {
        "state": "down",
        "detail": "Connection refused",
        "picture": None,
        "figures": None,
    }


def test_it_says_when_the_server_loads(serve) -> None:
    error = {"error": {"message": "the model big is loading", "code": "not_ready"}}
    report = monitor.look(serve({"/kv/blocks": (503, json.dumps(error))}))
    assert (report.state, report.detail) == ("loading", "the model big is loading")


def test_it_says_when_the_server_wants_a_key(serve) -> None:
    error = {"error": {"message": "send the key"}}
    report = monitor.look(serve({"/kv/blocks": (401, json.dumps(error))}))
    assert (report.state, report.detail) == ("down", "it refused this platform: send the key")


def test_it_reads_the_figures_of_vllm(client_as, viewer, settings, serve) -> None:
    settings.LLM_URLS = [serve({"/metrics": (200, VLLM_METRICS)})]
    report = client_as(viewer).get("/api/v1/engine/0/").json()
    assert report["state"] == "ready"
    assert report["picture"] is None
    assert report["figures"] == {"running": 7, "usage": 0.4, "generation_tokens": 1200}


def test_it_reads_llama_servers_names() -> None:
    text = "llamacpp:requests_processing 2\nllamacpp:tokens_predicted_total 90\n"
    assert monitor.read_figures(text) == {"running": 2, "generation_tokens": 90}


def test_it_knows_a_server_without_figures(serve) -> None:
    assert monitor.look(serve({"/v1/models": (200, "{}")})).figures == {}
    assert monitor.look(serve({})).state == "down"
    assert monitor.look(serve({"/metrics": (200, "what?{{")})).state == "down"


def test_it_shows_the_blocks_of_the_real_engine(client_as, viewer, kvserve_url) -> None:
    report = client_as(viewer).get("/api/v1/engine/0/").json()
    assert report["state"] == "ready"
    picture = report["picture"]
    assert sum(picture["counts"].values()) == picture["num_blocks"]
    assert picture["energy"]["source"] in ("rapl", "estimate")
