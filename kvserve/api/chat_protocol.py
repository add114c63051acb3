"""Bodies that carry a conversation: chat completions with tools, and /tokenize."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from kvserve.api.protocol import MAX_LOGPROBS, Body, Generate
from kvserve.text.tool_calls import NO_PARAMETERS, Tool, ToolUse

MAX_MESSAGES = 1024
MAX_TOOLS = 128  # OpenAI's

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class CalledFunction(BaseModel):
    name: str
    arguments: str = "{}"


class ToolCall(BaseModel):
    """A call that the assistant made earlier."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction

    def plain(self) -> dict[str, Any]:
        """As chat templates take it, with the arguments as an object.

        Raises:
            ValueError: the arguments are no JSON object.
        """
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ValueError(f"arguments of {self.function.name}: not the text of a JSON object")
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": function}


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Message":
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError(
                "a message needs content; only an assistant's with tool_calls does not"
            )
        if self.tool_calls:
            if self.role != "assistant":
                raise ValueError("only an assistant's message has tool_calls")
            self.plain()
        return self

    def plain(self) -> dict[str, Any]:
        """As chat templates take it."""
        content = self.content
        text = "".join(p.text for p in content) if isinstance(content, list) else content or ""
        plain: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": text,
        }
        if self.tool_calls:
            plain["tool_calls"] = [call.plain() for call in self.tool_calls]
        if self.tool_call_id:
            plain["tool_call_id"] = self.tool_call_id
        return plain


class FunctionDefinition(BaseModel):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None

    @field_validator("parameters")
    @classmethod
    def _is_an_object(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value and value.get("type", "object") != "object":
            raise ValueError("the schema of a function's parameters must have type object")
        return value


class ToolDefinition(BaseModel):
    type: Literal["function"]
    function: FunctionDefinition

    def tool(self) -> Tool:
        function = self.function
        parameters = {"type": "object", **function.parameters} if function.parameters else None
        return Tool(function.name, function.description or "", parameters or NO_PARAMETERS)


class NamedFunction(BaseModel):
    name: str


class NamedTool(BaseModel):
    type: Literal["function"]
    function: NamedFunction


class ChatBody(Generate):
    refused = (*Generate.refused, "functions", "function_call", "audio", "web_search_options")

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    modalities: list[Literal["text"]] | None = None
    tools: list[ToolDefinition] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "ChatBody":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        names = [definition.function.name for definition in self.tools or ()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"tools: {', '.join(sorted(twice))} is defined twice")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError(
                f"tool_choice: {self.tool_choice.function.name} is not among the tools"
                f" ({', '.join(names) or 'none given'})"
            )
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice: required needs tools")
        return self

    @property
    def num_logprobs(self) -> int | None:
        return self.top_logprobs or 0 if self.logprobs else None

    @property
    def offered_tools(self) -> tuple[Tool, ...]:
        """What the prompt describes: all tools, whichever may be called this time."""
        if self.tool_choice == "none":
            return ()
        return tuple(definition.tool() for definition in self.tools or ())

    @property
    def tool_use(self) -> ToolUse | None:
        """What may be called; None without tools or with tool_choice none."""
        tools = self.offered_tools
        if not tools:
            return None
        parallel = self.parallel_tool_calls is not False
        if isinstance(self.tool_choice, NamedTool):
            named = self.tool_choice.function.name
            chosen = tuple(tool for tool in tools if tool.name == named)
            return ToolUse(chosen, required=True, parallel=False)
        return ToolUse(tools, required=self.tool_choice == "required", parallel=parallel)


class TokenizeBody(Body):
    """vLLM's: either a prompt or messages."""

    prompt: str | None = None
    messages: list[Message] | None = Field(default=None, max_length=MAX_MESSAGES)
    tools: list[ToolDefinition] | None = Field(default=None, max_length=MAX_TOOLS)
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = None

    @property
    def offered_tools(self) -> tuple[Tool, ...]:
        return tuple(definition.tool() for definition in self.tools or ())

    @model_validator(mode="after")
    def _one_of_them(self) -> "TokenizeBody":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self
