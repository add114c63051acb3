"""A reading tool chosen by a strong language model, where the rules of `rag.chat.tools` saw none.

The model sees the user's own question and the names of the equipment, nothing else: no passage, no
reading, no earlier answer. So what it calls can come from the user's words only. Only tools that read
are offered, what it calls is checked again, times and free texts are never taken from it, and every
name must be one of the inventory that the question speaks of.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag.chat import words
from rag.chat.asked import Asked, read_question
from rag.chat.tools import Arguments, ChatTool, registered
from rag.llm import llm_client

if TYPE_CHECKING:
    from kvserve.client import ToolCall

logger = logging.getLogger(__name__)

MAX_TOKENS = 200
MAX_NAMES = 150
# Set by the rules from the user's words, or shown to the reader as they are: not for the model.
NOT_OFFERED = frozenset({"note", "label", "start", "end", "duration_s"})
DURATION_S = 1800.0
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")

SYSTEM = (
    "You choose a tool for a question of a data-centre operator. Call one tool when the question asks "
    "what the facility is doing: readings, alarms, what feeds what, energy, data quality, documents in "
    "force. Do not call a tool when the question asks what a document says, how something is done, or "
    "what a limit is; then answer only: none. Use the names given, exactly."
)


def choose(question: str) -> tuple[ChatTool, Arguments] | None:
    """The tool that the model calls for the question, with arguments that passed the checks, or
    None. One request; None as well where the server fails or refuses."""
    from kvserve.client import LLMRefused, LLMUnavailable
    from rag.answers import capability

    asked = read_question(question)
    if not may_be_meant(asked):
        return None
    readers = {tool.name: tool for tool in registered() if tool.score is not None}
    try:
        calls = llm_client().call_tools(
            _messages(asked),
            tools=[definition(tool) for tool in readers.values()],
            max_tokens=MAX_TOKENS,
        )
    except LLMRefused as error:
        logger.warning("the language model takes no tools: %s", error)
        capability.note_no_tools()
        return None
    except LLMUnavailable as error:
        logger.warning("no tool was chosen: %s", error)
        return None
    for call in calls:
        tool = readers.get(call.name)
        arguments = checked(tool, call, asked) if tool else None
        if tool is not None and arguments is not None:
            return tool, arguments
        logger.warning("a call of the language model was refused: %s", call.name[:80])
    return None


def may_be_meant(asked: Asked) -> bool:
    """Whether the question is worth asking the model: it speaks of the facility, and nothing says
    that the documents are meant."""
    if not asked.inventory.assets or asked.wants_documents:
        return False
    named = asked.mentions.assets or asked.mentions.kinds
    return bool(named) or asked.asks_now or asked.span is not None


def definition(tool: ChatTool) -> dict[str, Any]:
    """A reading tool in OpenAI's form."""
    offered = {
        name: schema
        for name, schema in tool.schema.get("properties", {}).items()
        if name not in NOT_OFFERED
    }
    parameters = {
        "type": "object",
        "properties": offered,
        "required": [name for name in tool.schema.get("required", ()) if name in offered],
        "additionalProperties": False,
    }
    purpose = tool.purpose or tool.description
    return {
        "type": "function",
        "function": {"name": tool.name, "description": purpose, "parameters": parameters},
    }


def checked(tool: ChatTool, call: "ToolCall", asked: Asked) -> Arguments | None:
    """The call's arguments completed by what the user's words say, or None where they are not the
    tool's, or name something that the question does not speak of."""
    import jsonschema

    try:
        given = json.loads(call.arguments or "{}")
    except ValueError:
        return None
    if not isinstance(given, dict) or not given.keys() <= tool.schema.get("properties", {}).keys():
        return None
    arguments = {name: value for name, value in given.items() if name not in NOT_OFFERED}
    offered = tool.schema.get("properties", {})
    for name in tool.schema.get("required", ()):
        if name not in arguments and offered[name].get("type") == "array":
            arguments[name] = []
    if asked.span is not None and "start" in offered:
        arguments |= {
            "start": asked.span.start.isoformat(),
            "end": asked.span.end.isoformat(),
            "label": asked.span.label,
        }
    if "duration_s" in offered and arguments.get("what") == "whatif":
        arguments["duration_s"] = DURATION_S
    try:
        jsonschema.validate(arguments, tool.schema)
    except jsonschema.ValidationError:
        return None
    return arguments if _is_spoken_of(arguments, offered, asked) else None


def _is_spoken_of(arguments: Mapping[str, Any], offered: Mapping[str, Any], asked: Asked) -> bool:
    """Whether every text of the arguments is a choice of the schema, a name of the inventory that the
    question speaks of, or the question's own, and every number one of the question's."""
    said = asked.text.casefold()
    numbers = {float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", said)}
    for name, value in arguments.items():
        if name in NOT_OFFERED:
            continue
        choices = _choices(offered[name])
        for leaf in _leaves(value):
            if leaf in choices:
                continue
            if isinstance(leaf, str):
                if not (_is_known(leaf, asked) or (name == "about" and leaf.casefold() in said)):
                    return False
            elif float(leaf) not in numbers:
                return False
    return True


def _is_known(name: str, asked: Asked) -> bool:
    """Whether a name is a kind or a quantity of the inventory, or equipment that is meant."""
    inventory = asked.inventory
    asset = inventory.assets.get(name)
    if asset is not None and asked.mentions.assets:
        return name in asked.mentions.tags
    if asset is not None:
        own = words.stems(f"{asset.kind} {asset.name}".replace("_", " "))
        return any(word.isalpha() and len(word) > 1 for word in own & words.stems(asked.text))
    return any(name == kind or name in known for kind, known in inventory.quantities.items())


def _choices(schema: Any) -> list[Any]:
    """Every value of an `enum` anywhere in a schema."""
    if isinstance(schema, Mapping):
        return [*schema.get("enum", ()), *(v for inner in schema.values() for v in _choices(inner))]
    return []


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [] if value is None or value == "" else [value]


def _messages(asked: Asked) -> list[dict[str, str]]:
    inventory = asked.inventory
    tags = [tag for tag in inventory.assets if _TAG.fullmatch(tag)][:MAX_NAMES]
    lines = [SYSTEM, f"Equipment: {', '.join(tags)}"]
    meant = {asset.kind for asset in asked.mentions.assets} | set(asked.mentions.kinds)
    lines += [
        f"Quantities of {kind}: {', '.join(known)}"
        for kind, known in sorted(inventory.quantities.items())
        if kind in meant
    ]
    lines.append(f"Kinds: {', '.join(sorted(inventory.quantities))}")
    return [
        {"role": "system", "content": "\n".join(lines)},
        {"role": "user", "content": asked.text},
    ]
