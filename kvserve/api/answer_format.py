"""The fields that ask for an answer of a certain form, OpenAI's and vLLM's, as one grammar."""

import json
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from kvserve.errors import RequestRefused
from kvserve.text.grammar import (
    GrammarText,
    checked_schema,
    choice_grammar,
    json_grammar,
    regex_grammar,
    text_grammar,
)

JSON_OBJECT: dict[str, Any] = {"type": "object"}


class JsonSchema(BaseModel):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """OpenAI's, and `{"type": "grammar", "grammar": …}` in GBNF or Lark."""

    type: Literal["text", "json_object", "json_schema", "grammar"] = "text"
    json_schema: JsonSchema | None = None
    grammar: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs a json_schema with a schema")
        if self.type == "grammar" and not self.grammar:
            raise ValueError("type grammar needs a grammar")
        return self


class StructuredOutputs(BaseModel):
    """vLLM's."""

    json_: dict[str, Any] | str | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


class AnswerFormat(BaseModel):
    """At most one of these may be asked for. The guided_… fields are vLLM's older names."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None

    def answer_schema(self) -> Any | None:
        """The JSON schema asked for, None where the form is another or free; raises as
        `answer_grammar`."""
        asked = self._asked()
        if asked is None or asked[1] != "json":
            return None
        param, _, value = asked
        return checked_schema(_schema(value, param), param=param)

    def answer_grammar(self) -> GrammarText | None:
        """What the answer must look like; None leaves it free.

        Raises:
            RequestRefused: two forms at once, or one that is wrong; `param` names the field.
        """
        asked = self._asked()
        if asked is None:
            return None
        param, kind, value = asked
        match kind:
            case "json":
                return json_grammar(_schema(value, param), param=param)
            case "regex":
                return regex_grammar(value, param=param)
            case "choice":
                return choice_grammar(value, param=param)
            case _:
                return text_grammar(value, param=param)

    def _asked(self) -> tuple[str, str, Any] | None:
        """Field, kind and value of the one form asked for."""
        fields: list[tuple[str, str, Any]] = [
            ("guided_json", "json", self.guided_json),
            ("guided_regex", "regex", self.guided_regex),
            ("guided_choice", "choice", self.guided_choice),
            ("guided_grammar", "grammar", self.guided_grammar),
        ]
        if wanted := self.response_format:
            schema = wanted.json_schema.schema_ if wanted.json_schema else None
            fields += [
                ("response_format", "json", schema if wanted.type == "json_schema" else None),
                ("response_format", "json", JSON_OBJECT if wanted.type == "json_object" else None),
                (
                    "response_format",
                    "grammar",
                    wanted.grammar if wanted.type == "grammar" else None,
                ),
            ]
        if outputs := self.structured_outputs:
            fields += [
                ("structured_outputs.json", "json", outputs.json_),
                ("structured_outputs.regex", "regex", outputs.regex),
                ("structured_outputs.choice", "choice", outputs.choice),
                ("structured_outputs.grammar", "grammar", outputs.grammar),
                (
                    "structured_outputs.json_object",
                    "json",
                    JSON_OBJECT if outputs.json_object else None,
                ),
            ]
        asked = [field for field in fields if field[2] is not None]
        if len(asked) > 1:
            names = " and ".join(name for name, _, _ in asked)
            raise RequestRefused(f"{names}: ask for one form of answer", param=asked[1][0])
        return asked[0] if asked else None


def _schema(value: dict[str, Any] | str, param: str) -> Any:
    """A schema given as an object or as its JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise RequestRefused(f"{param}: not JSON: {error}", param=param) from error
