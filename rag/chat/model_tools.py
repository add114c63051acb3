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
    from facilities.selectors import Inventory
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
            _messages(question, asked.inventory),
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
    """A reading tool in OpenAI's form. Everything that is offered is required."""
    offered = {
        name: schema
        for name, schema in tool.schema.get("properties", {}).items()
        if name not in NOT_OFFERED
    }
    parameters = {
        "type": "object",
        "properties": offered,
        "required": sorted(offered),
        "additionalProperties": False,
    }
    described = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": described}


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
    """Whether every free text of the arguments is a name that the question speaks of, or a text
    of the question itself, and every number is one of the question's."""
    said = asked.text.casefold()
    numbers = {float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", said)}
    for name, value in arguments.items():
        if name in NOT_OFFERED or "enum" in offered[name]:
            continue
        for leaf in _leaves(value):
            if isinstance(leaf, str):
                known = name != "about" and _is_known(leaf, offered[name], asked)
                if leaf.casefold() not in said and not known:
                    return False
            elif not isinstance(leaf, bool) and float(leaf) not in numbers:
                return False
    return True


def _is_known(name: str, schema: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a name is of a choice, or equipment, a kind or a quantity that the question means."""
    if name in json.dumps(schema) and '"enum"' in json.dumps(schema):
        return True
    asset = asked.inventory.assets.get(name)
    stems = words.stems(asked.text)
    if asset is not None:
        own = words.stems(f"{asset.kind} {asset.name}".replace("_", " "))
        return name in asked.mentions.tags or bool(own & stems)
    return bool(words.stems(name.replace("_", " ").replace("-", " ")) & stems)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [] if value in (None, "") else [value]


def _messages(question: str, inventory: "Inventory") -> list[dict[str, str]]:
    tags = [tag for tag in inventory.assets if _TAG.fullmatch(tag)][:MAX_NAMES]
    kinds = sorted({asset.kind for asset in inventory.assets.values()})
    names = f"Kinds of equipment: {', '.join(kinds)}\nEquipment: {', '.join(tags)}"
    return [
        {"role": "system", "content": f"{SYSTEM}\n{names}"},
        {"role": "user", "content": question},
    ]
