"""How a model writes calls of functions: as grammar, and in words where its template has none."""

import json
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any, NamedTuple

from kvserve.text.grammar import GrammarText, checked_schema

MAX_CALLS = 16  # in one answer; a small model would repeat itself to the end of its context
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Tool(NamedTuple):
    """A function that the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]

    def definition(self) -> dict[str, Any]:
        """OpenAI's shape, as chat templates take it."""
        function: dict[str, Any] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": {**function, "parameters": self.parameters}}


class CallFormat(NamedTuple):
    """`opening {"name": …, "key": {…}} closing`; one call only where `separator` is None."""

    opening: str
    key: str
    closing: str
    separator: str | None

    @property
    def start(self) -> str:
        """What comes before the name."""
        return self.opening + '{"name": "'

    @property
    def middle(self) -> str:
        """What comes between name and arguments."""
        return f'", "{self.key}": '

    @property
    def end(self) -> str:
        """What comes after the arguments."""
        return "}" + self.closing

    def write(self, name: str, arguments: Any) -> str:
        """One call as the model would have written it."""
        return (
            self.start + name + self.middle + json.dumps(arguments, ensure_ascii=False) + self.end
        )


HERMES = CallFormat("<tool_call>\n", "arguments", "\n</tool_call>", "\n")  # Hermes, Qwen
LLAMA3 = CallFormat("", "parameters", "", None)


def native_format(template: str) -> CallFormat | None:
    """The format that a chat template teaches when given tools; None if it is another or none."""
    if "tools" not in template or "<function=" in template:
        return None
    if "<tool_call>" in template and '"arguments"' in template:
        return HERMES
    if "<|python_tag|>" in template and '"parameters"' in template:
        return LLAMA3
    return None


class ToolUse(NamedTuple):
    """What a request allows: `tools` that may be called, whether one must be, whether several may."""

    tools: tuple[Tool, ...]
    required: bool
    parallel: bool

    def grammar(self, form: CallFormat, *, answer: Any = None) -> GrammarText:
        """Calls whose arguments fit their schemas; free text or JSON of `answer` unless required.

        Raises:
            RequestRefused: a tool's schema is wrong or too large.
        """
        opening = _literal(form.opening) if form.opening else ""
        again = ""
        if self.parallel and form.separator is not None:
            again = f" ({_literal(form.separator)} {opening} call){{0,{MAX_CALLS - 1}}}"
        rules = ["%llguidance {}", *self._call_rules(form)]
        if self.required:
            rules.append(f"start: {opening} call{again}")
        elif answer is not None:
            rules += [
                f"start: answer | {opening} call{again}",
                f"answer: %json {json.dumps(answer)}",
            ]
        elif opening:
            rules += [
                f"start: TEXT | lead call{again}",
                "TEXT: /(.|\\n)*/",
                f"lead[lazy]: TEXT {opening}",
            ]
        else:
            rules += ["start: TEXT | call", "TEXT: /(\\s*[^{\\s](.|\\n)*)?/"]
        return GrammarText(json.dumps({"grammars": [{"lark_grammar": "\n".join(rules)}]}), "tools")

    def _call_rules(self, form: CallFormat) -> list[str]:
        names = " | ".join(f"call_{number}" for number in range(len(self.tools)))
        rules = [f"call: ({names}) {_literal(form.end)}"]
        for number, tool in enumerate(self.tools):
            place = f"tools.{number}.function.parameters"
            schema = checked_schema(tool.parameters, param=place)
            head = form.start.removeprefix(form.opening) + tool.name + form.middle
            rules += [
                f"call_{number}: {_literal(head)} arguments_{number}",
                f"arguments_{number}: %json {json.dumps(schema)}",
            ]
        return rules


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def in_plain_words(
    messages: Seq[Mapping[str, Any]], tools: Seq[Tool], form: CallFormat
) -> list[dict[str, Any]]:
    """Messages for a template that knows no tools: these become system text, calls the text that
    `form` gives them, results a user's message in <tool_response> tags, as Hermes was taught."""
    plain = [_plain(message, form) for message in messages]
    if not tools:
        return plain
    words = _description(tools, form)
    if plain and plain[0]["role"] == "system":
        first = {**plain[0], "content": f"{plain[0]['content']}\n\n{words}"}
        return [first, *plain[1:]]
    return [{"role": "system", "content": words}, *plain]


def _plain(message: Mapping[str, Any], form: CallFormat) -> dict[str, Any]:
    content = message["content"] or ""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    calls = [
        form.write(call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return {"role": message["role"], "content": "\n".join(filter(None, [content, *calls]))}


def _description(tools: Seq[Tool], form: CallFormat) -> str:
    listed = "\n".join(json.dumps(tool.definition(), ensure_ascii=False) for tool in tools)
    example = f"{form.start}NAME{form.middle}{{…}}{form.end}"
    return (
        "You can call functions to help with the request. These exist, with the JSON schema of"
        f" their arguments:\n<tools>\n{listed}\n</tools>\n"
        f"To call one, write its name and arguments like this, and nothing after it:\n{example}"
    )
