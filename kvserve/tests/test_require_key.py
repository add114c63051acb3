"""The API key, on the ASGI application itself."""

import httpx
import pytest

from kvserve.api.app import create_app
from kvserve.api.service import Service
from kvserve.config import EngineConfig
from kvserve.engine.engine import Engine


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/models", {}, 401),
        ("/v1/models", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/models", {"Authorization": "Bearer ß"}, 401),
        ("/v1/models", {"Authorization": "Bearer secret"}, 200),
        ("/metrics", {}, 401),
        ("/kv/blocks", {}, 401),
        ("/tokenize", {}, 401),
        ("/health", {}, 503),  # open, and the model is not loaded
    ],
)
async def test_it_asks_for_the_key(model_path, path, headers, status) -> None:
    service = Service(Engine(EngineConfig(model_path), model_name="bundled"), None)
    transport = httpx.ASGITransport(create_app(service, api_key="secret"))
    encoded = {name: value.encode() for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://kvserve") as client:
        answer = await client.get(path, headers=encoded)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "invalid_api_key"
