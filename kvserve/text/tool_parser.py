"""Takes calls of functions out of a model's text as it arrives."""

from enum import Enum, auto
from typing import NamedTuple

from kvserve.text.detokenizer import overlap
from kvserve.text.tool_calls import CallFormat


class Content(NamedTuple):
    """Text for the reader."""

    text: str


class CallBegins(NamedTuple):
    """Call `number` of this answer, by name; its arguments follow."""

    number: int
    name: str


class Arguments(NamedTuple):
    """More of the JSON of call `number`'s arguments."""

    number: int
    text: str


Part = Content | CallBegins | Arguments


class _At(Enum):
    TEXT = auto()
    NAME = auto()
    ARGUMENTS = auto()
    END = auto()


class ToolCallParser:
    """One answer, written under `ToolUse.grammar`: whatever looks like a call is a whole one, unless
    the answer was cut. White space around calls is dropped."""

    def __init__(self, form: CallFormat) -> None:
        self.form = form
        self.num_calls = 0
        self._held = ""
        self._has_content = False
        self._at = _At.TEXT
        self._json = _JsonEnd()

    def feed(self, text: str, *, final: bool = False) -> list[Part]:
        """Add text; returns what is certain by now, at the end everything."""
        self._held += text
        parts: list[Part] = []
        while part := self._next(final):
            parts += part
        return parts

    def _next(self, final: bool) -> list[Part] | None:
        """Go one state further; None when more text is needed."""
        match self._at:
            case _At.TEXT:
                return self._text(final)
            case _At.NAME:
                name, found, rest = self._held.partition(self.form.middle)
                if not found:
                    return None
                self._held, self._at, self._json = rest, _At.ARGUMENTS, _JsonEnd()
                self.num_calls += 1
                return [CallBegins(self.num_calls - 1, name)]
            case _At.ARGUMENTS:
                size = self._json.find(self._held)
                piece, self._held = self._held[:size], self._held[size:]
                if self._json.over:
                    self._at = _At.END
                return [Arguments(self.num_calls - 1, piece)] if piece else None
            case _At.END:
                if len(self._held) < len(self.form.end):
                    return None
                self._held, self._at = self._held[len(self.form.end) :], _At.TEXT
                return self._next(final)

    def _text(self, final: bool) -> list[Part] | None:
        start = self.form.start
        before, found, rest = self._held.partition(start)
        at_start = not self._has_content and not before.strip()
        if found and (self.form.opening or at_start):
            self._held, self._at = rest, _At.NAME
            return [Content(before.rstrip())] if before.strip() else self._next(final)
        if self.num_calls and not self._held.strip():
            return None
        keep = 0 if final else overlap(self._held, start)
        certain = self._held[: len(self._held) - keep]
        if not final:  # white space may lead to a call
            certain = certain.rstrip()
        self._held = self._held[len(certain) :]
        self._has_content |= bool(certain)
        return [Content(certain)] if certain else None


class _JsonEnd:
    """Finds where a JSON object ends that arrives in pieces."""

    def __init__(self) -> None:
        self.over = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find(self, text: str) -> int:
        """How many characters of `text` belong to the object."""
        for at, char in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = char == "\\"
                self._in_string = char != '"'
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if not self._depth:
                    self.over = True
                    return at + 1
        return len(text)
