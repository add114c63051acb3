"""Forms of answers: what can't be served is refused with a reason, what can is compiled once."""

import json
import os
import random
import time

import jsonschema
import pytest

from kvserve.errors import RequestRefused
from kvserve.native import lib
from kvserve.text.grammar import choice_grammar, json_grammar, regex_grammar, text_grammar
from kvserve.text.grammar_compiler import MAX_CACHED, GrammarCompiler
from kvserve.text.tokenizer import Tokenizer

DEEP = 10_000


def nested_schema(depth: int) -> dict:
    schema: dict = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.fixture(scope="module")
def tokenizer(model_path):
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(os.fsencode(model_path), params)
    yield Tokenizer(lib.llama_model_get_vocab(model))
    lib.llama_model_free(model)


@pytest.fixture(scope="module")
def compiler(tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer)


def write(compiler: GrammarCompiler, grammar, *, seed: int = 0, most: int = 300) -> str:
    """A text under the grammar, every token drawn at random; closed as soon as it may be."""
    tokenizer, draw = compiler.tokenizer, random.Random(seed)
    state, tokens = compiler.start(grammar), list[int]()
    while len(tokens) < most:
        allowed = state.allowed_ids()
        assert len(allowed), state.error
        if any(tokenizer.is_end(int(token)) for token in allowed):
            return tokenizer.decode(tokens)
        token = int(draw.choice(allowed))
        assert state.allows(token)
        state.accept(token)
        tokens.append(token)
    raise AssertionError("no end")


SERVED = [
    {"type": "integer", "minimum": 3, "maximum": 7},
    {"type": "string", "pattern": "^[a-c]{2,4}$"},
    {"type": "string", "format": "date-time"},
    {"type": "array", "items": {"enum": ["a", "é", "😀"]}, "minItems": 2, "maxItems": 4},
    {"anyOf": [{"const": 1}, {"type": "null"}]},
    {"$defs": {"n": {"type": "number"}}, "type": "array", "prefixItems": [{"$ref": "#/$defs/n"}],
     "items": False, "minItems": 1},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
     "additionalProperties": False},
]  # fmt: skip


@pytest.mark.parametrize("schema", SERVED, ids=str)
def test_it_writes_json_of_the_schema_whatever_is_drawn(compiler, schema) -> None:
    for seed in range(5):
        text = write(compiler, json_grammar(schema, param="x"), seed=seed)
        jsonschema.validate(json.loads(text), schema)


def may_write(compiler: GrammarCompiler, schema: dict, text: str) -> bool:
    state = compiler.start(json_grammar(schema, param="x"))
    for token in compiler.tokenizer.encode(text, add_special=False):
        state.accept(token)
    return not state.error


def test_it_writes_listed_properties_only_unless_the_schema_says_so(compiler) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert not may_write(compiler, schema, '{"a":1,"b"')
    assert may_write(compiler, {**schema, "additionalProperties": True}, '{"a":1,"b"')
    assert may_write(compiler, {**schema, "required": ["b"]}, '{"a":1,"b"')
    assert may_write(compiler, {"type": "object"}, '{"b":')
    other = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    assert may_write(compiler, {"allOf": [schema, other]}, '{"a":1,"b":2}')


def test_it_bounds_white_space(compiler) -> None:
    state = compiler.start(json_grammar({"type": "object"}, param="x"))
    for token in compiler.tokenizer.encode("{\n\n\n", add_special=False):
        state.accept(token)
    assert state.error


def test_it_writes_regexes_choices_gbnf_and_lark(compiler) -> None:
    assert 4 <= len(write(compiler, regex_grammar("[0-9]{2}/[a-z]+", param="x"))) < 40
    assert write(compiler, choice_grammar(["yes", "no", "ä/😀"], param="x")) in (
        "yes",
        "no",
        "ä/😀",
    )
    gbnf = 'root ::= "p" digit{3} "."\ndigit ::= [0-9]'
    assert len(write(compiler, text_grammar(gbnf, param="x"))) == 5
    assert write(compiler, text_grammar('start: "a" | "b"', param="x")) in "ab"


REFUSED = [
    (lambda: json_grammar({"type": "strin"}, param="x"), "'strin' is not valid"),
    (lambda: json_grammar({"type": "object", "properties": []}, param="x"), "at properties"),
    (lambda: json_grammar({"$ref": "#/nowhere"}, param="x"), "/nowhere' does not exist"),
    (lambda: json_grammar({"$ref": "https://example.org/s"}, param="x"), "only parts of the schema"),
    (lambda: json_grammar({"$ref": "#"}, param="x"), "no text fits"),
    (lambda: json_grammar({"type": "array", "uniqueItems": True}, param="x"),
     "cannot enforce: uniqueItems"),
    (lambda: json_grammar({"not": {}, "if": {}}, param="x"), "cannot enforce: .*not"),
    (lambda: json_grammar({"oneOf": [{"type": "integer"}, {"type": "number"}]}, param="x"),
     "use anyOf"),
    (lambda: json_grammar({"type": "string", "format": "colour"}, param="x"), "Unknown format"),
    (lambda: json_grammar({"type": "string", "pattern": "(?=a)b"}, param="x"), "look-around"),
    (lambda: json_grammar({"type": "object", "title": "x" * 70_000}, param="x"), "at most 65536"),
    (lambda: json_grammar(nested_schema(900), param="x"), "recursion limit|nested too deeply"),
    (lambda: json_grammar({"$ref": "#/$defs/0", "$defs": {
        str(i): {"items": {"$ref": f"#/$defs/{i + 1}"}} for i in range(1400)} | {"1400": {}}},
        param="x"), "levels of schema, at most 800"),
    (lambda: text_grammar('start: %json {"type": "object"}', param="x"), "%json inside a grammar"),
    (lambda: text_grammar(" ".join(f'r{i} ::= "a"' for i in range(600)), param="x"), "600 rules"),
    (lambda: json_grammar(False, param="x"), "schema is false"),
    (lambda: regex_grammar("(", param="x"), "unclosed group"),
    (lambda: regex_grammar("", param="x"), "0 characters"),
    (lambda: regex_grammar("(" * DEEP + "a" + ")" * DEEP, param="x"), "nest"),
    (lambda: regex_grammar("((a{1000}){1000}){1000}", param="x"), "multiply to 1000000000"),
    (lambda: json_grammar({"items": {"pattern": "(a{9999}){,9999}"}}, param="x"), "multiply to"),
    (lambda: text_grammar('root ::= ("a"{0,1000}){0,10000}', param="x"), "multiply to 10000000"),
    (lambda: regex_grammar("(a?){500}a{500}", param="x"), "too many expressions"),
    (lambda: choice_grammar([], param="x"), "1…1024 texts"),
    (lambda: choice_grammar(["a", ""], param="x"), "not empty"),
    (lambda: text_grammar('root ::= "', param="x"), "Unexpected end"),
    (lambda: text_grammar("root ::= nosuch", param="x"), "nosuch"),
    (lambda: text_grammar('rule ::= "a"', param="x"), "No 'root' rule"),
    (lambda: text_grammar("root ::= root", param="x"), "no text fits"),
    (lambda: text_grammar('root ::= "a" root', param="x"), "no text fits|Too many items"),
    (lambda: text_grammar("root ::= " + "(" * DEEP + '"a"' + ")" * DEEP, param="x"), "10000 deep"),
    (lambda: text_grammar(
        "start: r0\n" + "\n".join(f'r{i}: "x" r{i + 1} | r{i + 1}' for i in range(2000))
        + '\nr2000: "a"', param="x"), "2002 rules, at most 512"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_it_refuses_in_time_what_it_cannot_serve(compiler, build, message) -> None:
    started = time.thread_time()  # all of it happens here; other work beside it costs it nothing
    with pytest.raises(RequestRefused, match=message):
        compiler.start(build())
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("seed", range(3))
def test_it_bounds_the_time_of_a_step_of_an_ambiguous_grammar(compiler, seed: int) -> None:
    rules = [f"r{i} ::= r{i + 1} r{i + 1} | r{i + 1}" for i in range(40)]
    text = "\n".join(["root ::= r0", *rules, 'r40 ::= "a" |'])
    state, draw = compiler.start(text_grammar(text, param="x")), random.Random(seed)
    for _ in range(50):
        started = time.monotonic()
        allowed = [t for t in state.allowed_ids() if not compiler.tokenizer.is_end(int(t))]
        assert time.monotonic() - started < 1
        if not allowed:
            break
        state.accept(int(draw.choice(allowed)))


def test_it_compiles_a_grammar_once_and_keeps_the_last_used(tokenizer) -> None:
    compiler = GrammarCompiler(tokenizer)
    first = json_grammar({"type": "object"}, param="x")
    compiler.start(first).accept(0)  # a copy in error does not spoil the cached one
    assert compiler.start(first).error == ""
    assert compiler.num_compiled == 1
    for number in range(MAX_CACHED):
        compiler.start(choice_grammar([f"choice {number}"], param="x"))
    compiler.start(first)
    assert compiler.num_compiled == MAX_CACHED + 2


def test_it_compiles_anew_what_has_used_up_its_memory(tokenizer) -> None:
    compiler, draw = GrammarCompiler(tokenizer), random.Random(1)
    letters = [tokenizer.encode(letter, add_special=False)[0] for letter in "ab"]
    grammar = regex_grammar("([ab]*a[ab]{19}c)+", param="x")  # a new lexer state at every letter
    state = compiler.start(grammar)
    for _ in range(100_000):
        state.accept(draw.choice(letters))
        if state.error:
            break
    assert state.error.startswith("lexer error: too many")
    again = compiler.start(grammar)
    for _ in range(1000):
        again.accept(draw.choice(letters))
    assert again.error == ""
    assert compiler.num_compiled == 2


def test_it_names_the_field_of_the_request(compiler) -> None:
    with pytest.raises(RequestRefused, match=r"^guided_regex: ") as caught:
        compiler.start(regex_grammar("[", param="guided_regex"))
    assert caught.value.param == "guided_regex"
