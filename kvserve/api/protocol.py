"""Request bodies in OpenAI's shape; responses are plain dicts in the same shape.

Unknown fields are ignored, as OpenAI's clients expect. Fields that would change the meaning of an
answer and are not served are refused, never ignored.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kvserve.api.answer_format import AnswerFormat

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


class Generate(Body, AnswerFormat):
    """What chat and text completion have in common."""

    refused: ClassVar[tuple[str, ...]] = (
        "prompt_logprobs",
        "use_beam_search",
        "min_tokens",
        "stop_token_ids",
        "bad_words",
        "allowed_token_ids",
        "logits_processors",
        "include_stop_str_in_output",
        "truncate_prompt_tokens",
        "continue_final_message",
    )

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

    @field_validator(
        "n",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "stream",
        "ignore_eos",
        "priority",
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

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> "Generate":
        if self.stream_options and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def num_logprobs(self) -> int | None:
        """Alternatives to report for each token; None reports nothing."""
        return None

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage_chunk(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionBody(Generate):
    refused = (*Generate.refused, "suffix")

    prompt: str | list[TokenId] | list[str] | list[list[TokenId]]
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)

    @model_validator(mode="after")
    def _can_be_served(self) -> "CompletionBody":
        if self.best_of not in (None, self.n):
            raise ValueError(
                f"best_of {self.best_of} with n {self.n}: answers are not ranked here; ask for n"
                " and choose, or leave best_of out"
            )
        if self.echo and self.logprobs is not None:
            raise ValueError(
                "echo with logprobs: the log-probabilities of a prompt are not computed here"
            )
        return self

    @field_validator("echo", mode="before")
    @classmethod
    def _null_is_no_echo(cls, value: Any) -> Any:
        return value or False

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


class EmbeddingsBody(Body):
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_EMBEDDING_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _no_token_ids(cls, value: Any) -> Any:
        if isinstance(value, list) and value and not isinstance(value[0], str):
            raise ValueError("give texts: token ids of another model mean nothing to this one")
        return value

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class DetokenizeBody(Body):
    tokens: list[TokenId]
