"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM has them."""

import asyncio
from contextlib import suppress
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from kvserve.adapters.adapter_file import LoraModule, check_name
from kvserve.api.entry import enter
from kvserve.api.service import Service
from kvserve.errors import NotReady, RequestRefused

router = APIRouter()


class LoadBody(BaseModel):
    lora_name: str
    lora_path: str = Field(min_length=1, max_length=4096)


class UnloadBody(BaseModel):
    lora_name: str


@router.post("/v1/load_lora_adapter")
async def load(body: LoadBody, request: Request) -> PlainTextResponse:
    """Load a GGUF from the server's adapter folder for the model that is live, or coming."""
    service: Service = request.app.state.service
    check_name(body.lora_name)
    service.catalogue.check_new_adapter(body.lora_name)
    path = _inside(service.lora_dir, body.lora_path)
    coming = service.pool.loading or service.engine
    engine = (await enter(request, coming.model_name)).engine
    module = LoraModule(body.lora_name, path)
    file = await run_in_threadpool(engine.read_adapter, module)
    await asyncio.wrap_future(engine.inquire(lambda: engine.runner.adapters.load(file)))
    service.catalogue.adapters.setdefault(engine.model_name, {})[body.lora_name] = module
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter")
async def unload(body: UnloadBody, request: Request) -> PlainTextResponse:
    """Refuse the adapter to new requests; those that run with it finish, then it is freed."""
    service: Service = request.app.state.service
    owner = next(
        (model for model, own in service.catalogue.adapters.items() if body.lora_name in own), None
    )
    if owner is None:
        raise RequestRefused(f"no LoRA adapter '{body.lora_name}' is loaded", param="lora_name")
    del service.catalogue.adapters[owner][body.lora_name]
    engine = service.engine
    if engine.model_name == owner:
        with suppress(NotReady):  # not loaded now, so neither is its adapter
            await asyncio.wrap_future(
                engine.inquire(lambda: engine.runner.adapters.unload(body.lora_name))
            )
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


def _inside(folder: Path | None, given: str) -> Path:
    """The path meant, which must lie in the folder, symbolic links resolved."""
    if folder is None:
        raise RequestRefused("this server loads no adapters", param="lora_path")
    try:
        path = (folder / given).resolve()
    except (OSError, ValueError) as error:
        raise RequestRefused(f"lora_path is no path: {error}", param="lora_path") from error
    if not path.is_relative_to(folder.resolve()):
        raise RequestRefused(
            f"lora_path must lie in the server's adapter folder (--lora-dir {folder})",
            param="lora_path",
        )
    return path
