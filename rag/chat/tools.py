"""What a chat tool is, and the registry that other rooms add theirs to.

A tool is chosen by the user's own question, never by the model and never by a document's text:
`match` reads the question and nothing else, and the permission is checked before `run`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

Arguments = Mapping[str, Any]
User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class ChatTool:
    """Something that the chat can do besides answering.

    `match(question)` returns the arguments when the question asks for this tool, else None.
    `run(user, arguments)` returns `{"text": str, "url": str | None, "title": str}` and may raise
    `ToolRefused`. `permission` is checked first ("app.codename"; '' for none). `schema` describes
    the arguments as JSON schema for models that can call tools.
    """

    name: str
    description: str
    permission: str
    match: Callable[[str], Arguments | None]
    run: Callable[[Any, Arguments], dict[str, Any]]
    schema: dict[str, Any] = field(default_factory=dict)


class ToolRefused(Exception):
    """The tool cannot do this; the message tells the user why."""


_registry: dict[str, ChatTool] = {}


def register(tool: ChatTool) -> None:
    """Add a tool; called from an app's `ready()`. Raises ValueError when the name is taken."""
    if tool.name in _registry:
        raise ValueError(f"chat tool '{tool.name}' is already registered; choose another name")
    _registry[tool.name] = tool


def unregister(name: str) -> None:
    """Remove a tool; unknown names are no error."""
    _registry.pop(name, None)


def registered() -> list[ChatTool]:
    """All tools in the order of registration."""
    return list(_registry.values())


def find(question: str) -> tuple[ChatTool, Arguments] | None:
    """The first tool that the question asks for, with its arguments."""
    for tool in registered():
        arguments = tool.match(question)
        if arguments is not None:
            return tool, arguments
    return None


def run(tool: ChatTool, *, user: Any, arguments: Arguments) -> dict[str, Any]:
    """Run a tool for a user. Raises ToolRefused when the permission is missing."""
    if tool.permission and not user.has_perm(tool.permission):
        raise ToolRefused(f"You may not use '{tool.name}': it needs {tool.permission}.")
    return tool.run(user, arguments)
