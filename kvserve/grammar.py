"""JSON schema to GBNF, the grammar llama.cpp samples under.

llama_cpp's converter covers types, properties, required, enum, const, arrays, string patterns,
formats and lengths, local $ref, anyOf/oneOf and simple allOf. It ignores numeric bounds. What it
can't express is refused here with a reason.
"""

import json
import re
from functools import lru_cache
from typing import Any

from kvserve.errors import RequestRefused

MAX_SCHEMA_BYTES = 64 * 1024
MAX_REPETITION = 512  # the converter writes each repetition out, so counts cost rules
COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
LOOSE_CHAR = '[^"\\\\]'  # the converter's string character lets raw control characters through,
STRICT_CHAR = '[^"\\\\\\x7F\\x00-\\x1F]'  # which JSON forbids
QUANTIFIER = re.compile(r"\{(\d*),?(\d*)\}")

JSON_OBJECT_SCHEMA: dict[str, Any] = {"type": "object"}


def gbnf_for_schema(schema: dict[str, Any]) -> str:
    """GBNF whose texts are JSON of the given schema.

    Raises:
        RequestRefused: not a JSON schema, too large, or beyond what the converter can express.
    """
    text = json.dumps(schema)
    if len(text) > MAX_SCHEMA_BYTES:
        raise _refused(f"{len(text)} bytes, at most {MAX_SCHEMA_BYTES} are accepted")
    return _convert(text)


@lru_cache(maxsize=256)
def _convert(text: str) -> str:
    import jsonschema
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    schema = json.loads(text)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "top level"
        raise _refused(f"{error.message} (at {place})") from error
    except RecursionError as error:
        raise _refused("nested too deeply") from error
    _check_counts(schema)
    try:
        return json_schema_to_gbnf(text).replace(LOOSE_CHAR, STRICT_CHAR)
    except Exception as error:  # the converter reports by assert, KeyError, TypeError …
        raise _refused(
            f"cannot be turned into a grammar: {error or type(error).__name__}"
        ) from error


def _check_counts(node: Any) -> None:
    """Refuse repetitions that would write out more rules than memory holds."""
    if isinstance(node, list):
        for item in node:
            _check_counts(item)
    if not isinstance(node, dict):
        return
    counts = [node[name] for name in COUNTS if isinstance(node.get(name), int)]
    if isinstance(pattern := node.get("pattern"), str):
        counts += [int(n) for match in QUANTIFIER.findall(pattern) for n in match if n]
    if any(count > MAX_REPETITION for count in counts):
        raise _refused(f"a repetition of {max(counts)}, at most {MAX_REPETITION} are accepted")
    for value in node.values():
        _check_counts(value)


def _refused(reason: str) -> RequestRefused:
    return RequestRefused(
        f"response_format: invalid JSON schema: {reason}", param="response_format"
    )
