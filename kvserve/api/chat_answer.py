"""A model's text as the message of a chat: content, calls of functions, or both."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from kvserve.engine.sequence import FinishReason
from kvserve.text.tool_calls import CallFormat
from kvserve.text.tool_parser import Arguments, CallBegins, Content, Part, ToolCallParser


class ChatAnswer:
    """One choice as it is written. Without a call format all text is content."""

    def __init__(self, form: CallFormat | None) -> None:
        self.content = ""
        self.tool_calls: list[dict[str, Any]] = []
        self._parser = ToolCallParser(form) if form else None

    def deltas(self, text: str, *, final: bool) -> Iterator[dict[str, Any]]:
        """The deltas, as OpenAI streams them, that more text amounts to."""
        for part in self._parts(text, final):
            yield self._delta(part)

    def _parts(self, text: str, final: bool) -> list[Part]:
        if self._parser is None:
            return [Content(text)] if text else []
        return self._parser.feed(text, final=final)

    def _delta(self, part: Part) -> dict[str, Any]:
        match part:
            case Content(text):
                self.content += text
                return {"content": text}
            case CallBegins(number, name):
                call = {"id": f"call_{uuid4().hex[:24]}", "type": "function"}
                self.tool_calls.append({**call, "function": {"name": name, "arguments": ""}})
                function = {"name": name, "arguments": ""}
                return {"tool_calls": [{"index": number, **call, "function": function}]}
            case Arguments(number, text):
                self.tool_calls[number]["function"]["arguments"] += text
                return {"tool_calls": [{"index": number, "function": {"arguments": text}}]}

    def message(self) -> dict[str, Any]:
        """The whole message, once all text is in."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content, "refusal": None}
        if self.tool_calls:
            message |= {"content": self.content or None, "tool_calls": self.tool_calls}
        return message

    def finish_reason(self, finish: FinishReason) -> str:
        """OpenAI's word for how it ended."""
        called = self.tool_calls and finish is FinishReason.STOP
        return "tool_calls" if called else finish.value
