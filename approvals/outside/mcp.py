"""The MCP server: the tools of `tools.py` for any client that speaks the Model Context Protocol.

Heavy to import, so the web process does it at the first request (`door.py`).
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Callable
from typing import Any, Literal

from channels.db import database_sync_to_async
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from approvals.errors import GateError
from approvals.models import AgentAccess
from approvals.outside.access import AGENT, agent_uses
from approvals.outside.tools import READS, WRITES

INSTRUCTIONS = (
    "Read telemetry, alarms, procedures and predictions of a data centre, and propose actions. Every "
    "proposal waits for a signature of a person; there is no tool that acts."
)


def _tool(function: Callable[..., Any]) -> Any:
    """The function as MCP calls it: with the request's context instead of an account."""

    async def call(ctx: Context[Any, Any], **arguments: Any) -> Any:
        request: Any = ctx.request_context.request
        access: AgentAccess = request.scope[AGENT]
        try:
            return await database_sync_to_async(_counted)(access, function, arguments)
        except GateError as error:
            raise ToolError(f"{error.code}: {error.detail}") from error

    made: Any = call
    own = inspect.signature(function)
    narrower = _choices(function)
    made.__signature__ = own.replace(
        parameters=[
            inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context),
            *(
                one.replace(annotation=narrower.get(one.name, one.annotation))
                for one in list(own.parameters.values())[1:]
            ),
        ]
    )
    made.__annotations__ = {
        **{name: kind for name, kind in function.__annotations__.items() if name != "account"},
        **narrower,
        "ctx": Context,
    }
    return made


def _choices(function: Callable[..., Any]) -> dict[str, Any]:
    """Parameters whose JSON schema names every value there is: the kinds of the catalogue, so that
    a client's model can pick none that is not in it.
    """
    from approvals.catalogue import KINDS

    if function not in WRITES:
        return {}
    names = tuple(kind.name for kind in KINDS.values() if not kind.is_internal)
    return {"kind": Literal[names]}


def _counted(access: AgentAccess, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    asked = json.dumps(arguments, default=str)
    agent_uses(access=access, what=f"mcp:{function.__name__}", facts={"asked": asked[:1000]})
    return function(access.account, **arguments)


@functools.cache
def server() -> MCPServer:
    """The server with every tool; one for the process, it holds no state of a request."""
    logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.WARNING)
    made: MCPServer = MCPServer("holdpoint", title="Holdpoint", instructions=INSTRUCTIONS)
    for function in (*READS, *WRITES):
        reads = function in READS
        made.add_tool(
            _tool(function),
            name=function.__name__,
            description=" ".join((function.__doc__ or "").split()),
            annotations=ToolAnnotations(
                read_only_hint=reads, destructive_hint=False, open_world_hint=False
            ),
            structured_output=False,
        )
    return made
