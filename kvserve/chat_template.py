"""Messages to a prompt, by the chat template that the model carries in its GGUF."""

from typing import Any

import jinja2

from kvserve.errors import RequestRefused
from kvserve.tokenizer import Tokenizer

ZERO_WIDTH_SPACE = "\u200b"


class ChatTemplate:
    """The model's own Jinja template in a sandbox.

    Control tokens written inside a message are broken up, so that a document or a user can't close
    their turn and open another speaker's.
    """

    def __init__(self, template: str | None, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._formatter = _formatter(template, tokenizer) if template else None

    def encode(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of the conversation, ending where the assistant's answer begins.

        Raises:
            RequestRefused: the model has no template, or the template refuses these messages.
        """
        prompt = self.render(messages)
        has_bos = bool(self.tokenizer.bos_text) and prompt.startswith(self.tokenizer.bos_text)
        return self.tokenizer.encode(prompt, add_special=not has_bos, parse_special=True)

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt as text; same errors as `encode`."""
        if self._formatter is None:
            raise RequestRefused(
                "this model's GGUF has no chat template: use /v1/completions with its own format",
                param="messages",
            )
        safe = [{**message, "content": self._defuse(message["content"])} for message in messages]
        try:
            return str(self._formatter(messages=safe).prompt)
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise RequestRefused(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from error

    def _defuse(self, content: str) -> str:
        for text in self.tokenizer.control_texts:
            if text in content:
                content = content.replace(text, text[0] + ZERO_WIDTH_SPACE + text[1:])
        return content


def _formatter(template: str, tokenizer: Tokenizer) -> Any:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    return Jinja2ChatFormatter(
        template=template, eos_token=tokenizer.eos_text, bos_token=tokenizer.bos_text
    )
