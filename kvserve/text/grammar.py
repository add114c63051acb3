"""What an answer may look like, as the text of an llguidance grammar.

Schemas, regular expressions, choices, GBNF and Lark all become one text, which
`kvserve.text.grammar_compiler` compiles and caches. JSON schema is covered as far as llguidance does
(https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md); a keyword that it would
have to ignore is refused by name.
"""

import json
import re
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from kvserve.errors import RequestRefused

MAX_BYTES = 64 * 1024  # of a schema, an expression or a grammar
MAX_RULES = 512  # llguidance follows rules by recursion; some thousands in a chain end the process
MAX_REFERENCED_LEVELS = 800  # for the same reason: each may be a step of one chain
MAX_DEPTH = 64  # nested groups of a grammar; its converter from GBNF is recursive, too
MAX_CHOICES = 1024
MAX_REPETITION = 1_000_000  # product of counts within counts, as in ((a{9}){9}){9}
ITEMS = re.compile(r"\\.|\[(?:\\.|[^]\\])*]|\{[\d\s,]*}|.", re.DOTALL)
RULE = re.compile(r"^\s*[\w.!?-]+\s*(?:\[[^\]]*\]\s*)?(?:\{[^}]*\}\s*)?:", re.MULTILINE)
NESTED = re.compile(r"%\s*(?:json|lark|import)|@\w+")  # would go round the limits above
# One space, or a new line with its indentation: small models run away in unbounded white space
WHITE_SPACE = r" |\n {0,16}"


# keywords beside which an object may have to hold more than it lists
OPENING = {"additionalProperties", "patternProperties", "minProperties", "anyOf", "oneOf", "$ref"}
_COMBINED = '"allOf"'  # its branches close one another out


class GrammarText(NamedTuple):
    """An llguidance grammar, and the field of the request that asked for it."""

    text: str
    param: str


def json_grammar(schema: Any, *, param: str) -> GrammarText:
    """JSON of the schema. Objects hold what they list, unless they say additionalProperties: what
    is written fits the schema either way, and small models find no end of properties.

    Raises:
        RequestRefused: not a JSON schema, or too large.
    """
    checked = checked_schema(schema, param=param)
    return GrammarText(json.dumps({"grammars": [{"json_schema": checked}]}), param)


def checked_schema(schema: Any, *, param: str) -> Any:
    """The schema as the grammar takes it, not to be changed; raises as `json_grammar`."""
    try:
        text = json.dumps(schema)
    except RecursionError as error:
        raise _refused(param, "the schema is nested too deeply") from error
    if len(text) > MAX_BYTES:
        raise _refused(param, f"{len(text)} bytes of schema, at most {MAX_BYTES} are accepted")
    return _checked(text, param)


@lru_cache(maxsize=128)  # checking costs some milliseconds, and most clients repeat their schema
def _checked(text: str, param: str) -> Any:
    import jsonschema

    schema = json.loads(text)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        _check_nodes(schema, param)
        closed = _closed(schema) if _COMBINED not in text else schema
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "top level"
        raise _refused(param, f"invalid JSON schema: {error.message} (at {place})") from error
    except RecursionError as error:
        raise _refused(param, "the schema is nested too deeply") from error
    if isinstance(closed, dict):
        return {**closed, "x-guidance": {"whitespace_pattern": WHITE_SPACE}}
    return closed


def _check_nodes(schema: Any, param: str) -> None:
    """Refuse what would cost the compiler too much: patterns and long chains of references."""
    depths: dict[int, int] = {}
    references: set[str] = set()

    def visit(node: Any) -> int:
        """The levels below a node, at least 1; shared parts are visited once."""
        inner: Iterable[Any] = ()
        if isinstance(node, list):
            inner = node
        elif isinstance(node, dict):
            inner = node.values()
            if isinstance(pattern := node.get("pattern"), str):
                _check_counts(pattern, param)
            if isinstance(reference := node.get("$ref"), str):
                references.add(reference)
        depths[id(node)] = 1 + max(
            (visit(i) for i in inner if isinstance(i, dict | list)), default=0
        )
        return depths[id(node)]

    visit(schema)
    levels = 0
    for reference in references:
        if not reference.startswith("#/") and reference != "#":
            raise _refused(param, f"$ref {reference}: only parts of the schema itself (#/…)")
        levels += depths.get(id(_target(schema, reference)), 0)
    if levels > MAX_REFERENCED_LEVELS:
        raise _refused(
            param,
            f"$ref to {levels} levels of schema, at most {MAX_REFERENCED_LEVELS} are accepted",
        )


def _target(schema: Any, reference: str) -> Any:
    """What a reference means; None where it means nothing."""
    for step in reference.split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict):
            schema = schema.get(name)
        elif isinstance(schema, list) and name.isdecimal() and int(name) < len(schema):
            schema = schema[int(name)]
        else:
            return None
    return schema


def _closed(node: Any) -> Any:
    """The schema with additionalProperties false in each object that can be whole without."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(value) for name, value in node.items()}
    listed = node.get("properties")
    if node.get("type") == "object" and isinstance(listed, dict):
        needs_more = node.keys() & OPENING or not set(node.get("required", ())) <= listed.keys()
        if not needs_more:
            closed["additionalProperties"] = False
    return closed


def regex_grammar(pattern: str, *, param: str) -> GrammarText:
    """Text that matches the whole expression (Rust's syntax: no look-around, no back-references).

    Raises:
        RequestRefused: empty or too long.
    """
    _check_size(pattern, param)
    _check_counts(pattern, param)
    return GrammarText(json.dumps({"grammars": [{"lark_grammar": _lark_of_regex(pattern)}]}), param)


def _lark_of_regex(pattern: str) -> str:
    from llguidance import regex_to_lark

    return f"start: /{regex_to_lark(pattern)}/"


def choice_grammar(choices: Seq[str], *, param: str) -> GrammarText:
    """One of the texts.

    Raises:
        RequestRefused: none, too many, or an empty one.
    """
    if not 1 <= len(choices) <= MAX_CHOICES or not all(choices):
        raise _refused(param, f"give 1…{MAX_CHOICES} texts that are not empty")
    lark = "start: " + " | ".join(map(json.dumps, choices))
    _check_size(lark, param)
    return _lark(lark, param)


def text_grammar(text: str, *, param: str) -> GrammarText:
    """GBNF as llama.cpp reads it (`root ::= …`), or Lark as llguidance reads it (`start: …`).

    Raises:
        RequestRefused: broken, too large or too deep.
    """
    from llguidance.gbnf_to_lark import any_to_lark

    _check_size(text, param)
    text = text.replace("\r", "\n")
    if inside := NESTED.search(text):
        raise _refused(
            param, f"{inside[0]} inside a grammar is not served: ask for the schema itself"
        )
    rules = max(len(RULE.findall(text)), text.count("::="))
    if rules > MAX_RULES:
        raise _refused(param, f"{rules} rules, at most {MAX_RULES} are accepted")
    if (depth := _depth(text)) > MAX_DEPTH:
        raise _refused(param, f"groups nested {depth} deep, at most {MAX_DEPTH} are accepted")
    for line in text.splitlines():
        _check_counts(line, param)
    try:
        return _lark(any_to_lark(text), param)
    except Exception as error:  # the converter raises bare Exceptions, IndexError, RecursionError …
        raise _refused(param, f"invalid grammar: {error or type(error).__name__}") from error


def _lark(text: str, param: str) -> GrammarText:
    return GrammarText(json.dumps({"grammars": [{"lark_grammar": text}]}), param)


def _check_size(text: str, param: str) -> None:
    if not 0 < len(text) <= MAX_BYTES:
        raise _refused(param, f"{len(text)} characters: between 1 and {MAX_BYTES} are accepted")


def _check_counts(expression: str, param: str) -> None:
    """Refuse counts within counts that multiply to more than a lexer can hold."""
    inner, last = [1], 1  # the largest product in each open group; that of the item just read
    for item in ITEMS.findall(expression):
        if item[0] == "{" and len(item) > 1:
            last *= max(1, *(int(count[:9]) for count in re.findall(r"\d+", item) or "1"))
        elif item == ")" and len(inner) > 1:
            last = inner.pop()
        else:
            last = 1
            if item == "(":
                inner.append(1)
        inner[-1] = max(inner[-1], last)
        if last > MAX_REPETITION:
            raise _refused(param, f"repetitions multiply to {last}: at most {MAX_REPETITION}")


def _depth(text: str) -> int:
    """The deepest nesting of groups, counting brackets inside strings too: never too low."""
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(0, depth - 1)
    return deepest


def _refused(param: str, reason: str) -> RequestRefused:
    return RequestRefused(f"{param}: {reason}", param=param)
