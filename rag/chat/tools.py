"""What a chat tool is, the registry that other rooms add theirs to, and how one is chosen.

A tool is chosen by the user's own question, never by a document's text: `match` and `score` read the
question and the inventory, nothing else, and only what the inventory names can become an argument.
Where no rule is sure, a strong model may choose a reading tool (`rag.chat.model_tools`), from the same
two. The permission is checked and the arguments are validated before `run`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from rag.chat.asked import SURE, Asked, Match, read_question

Arguments = Mapping[str, Any]
User = AbstractBaseUser | AnonymousUser
SIGNED_IN = "signed_in"


def _no_match(_question: str) -> Arguments | None:
    return None


def _never(_question: str) -> bool:
    return False


@dataclass(frozen=True)
class ChatTool:
    """Something that the chat can do besides answering.

    `match(question)` returns the arguments when the question is a command for this tool, else
    None. `score(asked)` returns how sure a reading tool is that it is meant; the surest one wins.
    `run(user, arguments)` returns a result (`rag.chat.live.result`) with `text` at least and may
    raise `ToolRefused`. `permission` is checked first ("app.codename"; '' for everybody signed
    in). `schema` describes the arguments as JSON schema; those of reading tools are validated.
    `combines(question)` tells whether the documents are to be asked as well. `beside(question)`
    tells whether their answer is to follow the tool's where they are likely to hold it.
    `purpose` tells a language model what a reading tool is for (`rag.chat.model_tools`).
    """

    name: str
    description: str
    permission: str
    match: Callable[[str], Arguments | None] = _no_match
    run: Callable[[Any, Arguments], dict[str, Any]] = lambda _user, _arguments: {}
    schema: dict[str, Any] = field(default_factory=dict)
    score: Callable[[Asked], Match | None] | None = None
    combines: Callable[[str], bool] = _never
    beside: Callable[[str], bool] = _never
    purpose: str = ""


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
    """The tool that the question asks for, with its arguments: a command, else the surest of the
    reading tools. Reads the inventory, so call it off the event loop."""
    for tool in registered():
        arguments = tool.match(question)
        if arguments is not None:
            return tool, arguments
    best = surest(question)
    return (best[0], best[1].arguments) if best else None


def surest(question: str) -> tuple[ChatTool, Match] | None:
    """The reading tool that is surest to be meant, if one is sure at all."""
    readers = [tool for tool in registered() if tool.score is not None]
    if not readers:
        return None
    asked = read_question(question)
    if not asked.inventory.assets:
        readers = [tool for tool in readers if tool.name == "documents"]
    scored = [
        (tool, match)
        for tool in readers
        if tool.score is not None
        and (match := tool.score(asked)) is not None
        and match.score >= SURE
    ]
    return max(scored, key=lambda pair: pair[1].score, default=None)


def combines(question: str) -> bool:
    """Whether the reading tool that the question asks for wants the documents asked as well."""
    best = surest(question)
    return best is not None and best[1].combines


def beside(question: str) -> bool:
    """Whether what is written may be meant beside the reading that the question asks for."""
    return read_question(question).may_want_documents


def run(tool: ChatTool, *, user: Any, arguments: Arguments) -> dict[str, Any]:
    """Run a tool for a user. Raises ToolRefused when the permission is missing or the arguments
    are none of the tool's."""
    if not (user.is_authenticated and user.is_active):
        raise ToolRefused(f"You may not use '{tool.name}': sign in first.")
    if tool.permission and not user.has_perm(tool.permission):
        raise ToolRefused(f"You may not use '{tool.name}': it needs {tool.permission}.")
    if tool.score is not None:
        _validate(tool, arguments)
    return tool.run(user, arguments)


def _validate(tool: ChatTool, arguments: Arguments) -> None:
    import jsonschema

    try:
        jsonschema.validate(dict(arguments), tool.schema)
    except jsonschema.ValidationError as error:
        where = ".".join(str(step) for step in error.absolute_path) or "arguments"
        raise ToolRefused(f"'{tool.name}' cannot use {where}: {error.message[:200]}") from error
