"""Messages to a prompt, by the chat template that the model carries in its GGUF."""

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any

import jinja2

from kvserve.errors import RequestRefused
from kvserve.text.tokenizer import Tokenizer
from kvserve.text.tool_calls import HERMES, Tool, in_plain_words, native_format

ZERO_WIDTH_SPACE = "\u200b"
OWN_VARIABLES = {"messages", "tools", "bos_token", "eos_token", "raise_exception", "functions"}


class ChatTemplate:
    """The model's own Jinja template in a sandbox.

    Control tokens written inside a message are broken up, so that a document or a user can't close
    their turn and open another speaker's. Tools are left to the template where it writes calls in
    a format known here (`call_format`), else described in the system message.
    """

    def __init__(self, template: str | None, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._formatter = _formatter(template, tokenizer) if template else None
        native = native_format(template or "")
        self.call_format = native or HERMES
        self.knows_tools = native is not None

    def encode(
        self,
        messages: Seq[Mapping[str, Any]],
        *,
        tools: Seq[Tool] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Token ids of the conversation, ending where the assistant's answer begins.

        Messages have role, content and perhaps tool_calls; `variables` are the template's own, such
        as enable_thinking.

        Raises:
            RequestRefused: the model has no template, or the template refuses these messages.
        """
        prompt = self.render(messages, tools=tools, variables=variables)
        has_bos = bool(self.tokenizer.bos_text) and prompt.startswith(self.tokenizer.bos_text)
        return self.tokenizer.encode(prompt, add_special=not has_bos, parse_special=True)

    def render(
        self,
        messages: Seq[Mapping[str, Any]],
        *,
        tools: Seq[Tool] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt as text; same errors as `encode`."""
        if self._formatter is None:
            raise RequestRefused(
                "this model's GGUF has no chat template: use /v1/completions with its own format",
                param="messages",
            )
        definitions = [tool.definition() for tool in tools] if self.knows_tools else None
        if not self.knows_tools:
            messages = in_plain_words(messages, tools, self.call_format)
        try:
            return str(
                self._formatter(
                    messages=self._defuse(list(messages)),
                    tools=self._defuse(definitions) or None,
                    **_own(variables or {}),
                ).prompt
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise RequestRefused(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from error

    def _defuse(self, value: Any) -> Any:
        """The same value with every control token inside its texts broken up."""
        if isinstance(value, dict):
            return {self._defuse(name): self._defuse(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._defuse(item) for item in value]
        if isinstance(value, str):
            for text in self.tokenizer.control_texts:
                if text in value:
                    value = value.replace(text, text[0] + ZERO_WIDTH_SPACE + text[1:])
        return value


def _own(variables: Mapping[str, Any]) -> dict[str, Any]:
    if taken := OWN_VARIABLES & variables.keys():
        raise RequestRefused(
            f"chat_template_kwargs can't set {', '.join(sorted(taken))}",
            param="chat_template_kwargs",
        )
    return dict(variables)


def _formatter(template: str, tokenizer: Tokenizer) -> Any:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    return Jinja2ChatFormatter(
        template=template, eos_token=tokenizer.eos_text, bos_token=tokenizer.bos_text
    )
