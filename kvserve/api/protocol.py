"""Request bodies in OpenAI's shape; responses are plain dicts in the same shape.

Unknown fields are ignored, as OpenAI's clients expect. Fields that would change the meaning of an
answer and are not served by this build are refused, never ignored.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_STOPS = 16
MAX_STOP_CHARS = 256
MAX_PROMPTS = 256
MAX_EMBEDDING_TEXTS = 2048


MAX_LOGPROBS = 20  # OpenAI's
MAX_LOGIT_BIAS = 1024
PRIORITIES = {"interactive": 0, "agent": 1, "batch": 2}  # lower goes first

TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
LogitBias = Annotated[float, Field(ge=-100, le=100)]


class Body(BaseModel):
    """Base of all bodies: a `refused` field that asks for something is an error."""

    model_config = ConfigDict(extra="ignore")
    refused: ClassVar[tuple[str, ...]] = ()

    model: str = ""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: Any) -> Any:
        if isinstance(data, dict):
            asked = [name for name in cls.refused if data.get(name)]
            if asked:
                raise ValueError(f"{', '.join(asked)}: not served by this build of kvserve")
        return data


class StreamOptions(BaseModel):
    include_usage: bool = False


class JsonSchema(BaseModel):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs a json_schema with a schema")
        return self


class Generate(Body):
    """What chat and text completion have in common."""

    n: int = Field(default=1, ge=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    seed: int | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool = False
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    user: str | None = Field(default=None, max_length=512)
    cache_salt: str | None = Field(default=None, max_length=512)
    logit_bias: dict[TokenId, LogitBias] | None = Field(default=None, max_length=MAX_LOGIT_BIAS)
    response_format: ResponseFormat | None = None

    @field_validator(
        "n",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "stream",
        mode="before",
    )
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @field_validator("stop")
    @classmethod
    def _bounded_stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > MAX_STOPS or any(not 0 < len(text) <= MAX_STOP_CHARS for text in stops):
            raise ValueError(f"at most {MAX_STOPS} texts of 1…{MAX_STOP_CHARS} characters")
        return value

    @field_validator("priority", mode="before")
    @classmethod
    def _named_class(cls, value: Any) -> Any:
        return PRIORITIES.get(value, value) if isinstance(value, str) else value

    @property
    def num_logprobs(self) -> int | None:
        """Alternatives to report for each token; None reports nothing."""
        return None

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionBody(Generate):
    refused = ("echo", "suffix", "best_of", "prompt_logprobs")

    prompt: str | list[TokenId] | list[str] | list[list[TokenId]]
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry per prompt, text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]  # a list of ids, as just tested
        return list(self.prompt)  # type: ignore[arg-type]


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """Role and text as a chat template takes them."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatBody(Generate):
    refused = ("tools", "functions", "modalities", "audio")

    messages: list[Message] = Field(min_length=1, max_length=1024)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)

    @model_validator(mode="after")
    def _top_needs_logprobs(self) -> "ChatBody":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def num_logprobs(self) -> int | None:
        return self.top_logprobs or 0 if self.logprobs else None


class EmbeddingsBody(Body):
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_EMBEDDING_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class TokenizeBody(Body):
    """vLLM's: either a prompt or messages."""

    prompt: str | None = None
    messages: list[Message] | None = None
    add_special_tokens: bool = True

    @model_validator(mode="after")
    def _one_of_them(self) -> "TokenizeBody":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class DetokenizeBody(Body):
    tokens: list[TokenId]
