"""GET /v1/models and POST /v1/models/load."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from kvserve.api.entry import enter
from kvserve.api.errors import UnknownModel
from kvserve.api.service import Service

router = APIRouter()


class LoadBody(BaseModel):
    model: str = Field(min_length=1, max_length=256)


def _cards(service: Service) -> list[dict[str, Any]]:
    """OpenAI's model objects with vLLM's root and parent, and the state of each LLM."""
    cards = []
    catalogue = service.catalogue
    models = catalogue.models()
    for name, path in models.items():
        cards.append(_card(name, root=str(path.name), state=service.state_of(name)))
    for name in models:
        for module in catalogue.adapters.get(name, {}).values():
            cards.append(_card(module.name, root=str(module.path.name), parent=name))
    cards += [_card(name) for name in service.embedders.names]
    return cards


def _card(name: str, **facts: str) -> dict[str, Any]:
    card = {"id": name, "object": "model", "created": 0, "owned_by": "kvserve"}
    return {**card, "root": None, "parent": None, **facts}


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """LLMs, the default first, then adapters, then the embedder."""
    return {"object": "list", "data": _cards(request.app.state.service)}


@router.get("/v1/models/{name:path}")
async def model(name: str, request: Request) -> dict[str, Any]:
    """One model, or 404."""
    service: Service = request.app.state.service
    for card in _cards(service):
        if card["id"] == name:
            return card
    raise UnknownModel(
        f"the model '{name}' is not served; served: {', '.join(service.model_names)}"
    )


@router.post("/v1/models/load")
async def load(body: LoadBody, request: Request) -> dict[str, Any]:
    """Load a model in its turn and make it the default; answers when it is loaded."""
    service: Service = request.app.state.service
    entered = await enter(request, body.model)
    service.catalogue.default = entered.engine.model_name
    return {"model": entered.engine.model_name, "state": "loaded"}
