"""Answers of a given form, over HTTP."""

import json

import httpx
import jsonschema
import openai
import pytest

from kvserve.tests.conftest import HELLO, LLM


def test_it_answers_in_the_schema(client) -> None:
    schema = {
        "type": "object",
        "properties": {"greeting": {"type": "string", "maxLength": 20}, "n": {"type": "integer"}},
        "required": ["greeting", "n"],
    }
    answer = client.chat.completions.create(
        model=LLM,
        messages=HELLO,
        max_tokens=80,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    jsonschema.validate(json.loads(answer.choices[0].message.content), schema)


def test_it_answers_any_json_object(client) -> None:
    answer = client.chat.completions.create(
        model=LLM,
        messages=[{"role": "user", "content": 'Write {"ok": true} as JSON.'}],
        max_tokens=200,
        temperature=0,
        response_format={"type": "json_object"},
    )
    choice = answer.choices[0]
    assert choice.message.content.startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)


FORMS = [
    ({"structured_outputs": {"choice": ["on", "off"]}}, ("on", "off")),
    ({"guided_choice": ["on", "off"]}, ("on", "off")),
    ({"structured_outputs": {"regex": "[ab]{3}"}}, 3),
    ({"guided_regex": "[ab]{3}"}, 3),
    ({"structured_outputs": {"grammar": 'root ::= "x" [0-9]{2}'}}, 3),
    ({"guided_grammar": 'start: "x" /[0-9]{2}/'}, 3),
    ({"structured_outputs": {"json": {"enum": [1, 2]}}}, ("1", "2")),
    ({"guided_json": '{"enum": [1, 2]}'}, ("1", "2")),
    ({"response_format": {"type": "grammar", "grammar": 'root ::= "x" [0-9]{2}'}}, 3),
]


@pytest.mark.parametrize(("form", "expected"), FORMS)
def test_it_takes_openais_and_vllms_forms(client, form, expected) -> None:
    for create in (
        lambda: client.chat.completions.create(
            model=LLM, messages=HELLO, max_tokens=20, extra_body=form
        ).choices[0].message.content,
        lambda: client.completions.create(
            model=LLM, prompt="Say:", max_tokens=20, extra_body=form
        ).choices[0].text,
    ):  # fmt: skip
        text = create()
        assert len(text) == expected if isinstance(expected, int) else text in expected


def test_it_keeps_to_numbers_within_their_bounds(client) -> None:
    schema = {"type": "integer", "minimum": 17, "maximum": 21}
    answer = client.chat.completions.create(
        model=LLM,
        messages=HELLO,
        max_tokens=10,
        n=6,
        temperature=2,
        extra_body={"structured_outputs": {"json": schema}},
    )
    assert all(17 <= int(choice.message.content) <= 21 for choice in answer.choices)


def test_it_streams_and_stops_at_the_end_of_the_form(client) -> None:
    chunks = list(
        client.completions.create(
            model=LLM,
            prompt="a",
            max_tokens=50,
            stream=True,
            extra_body={"guided_regex": "[ab]{9}"},
        )
    )
    assert len("".join(chunk.choices[0].text for chunk in chunks)) == 9
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_it_answers_others_while_a_costly_grammar_is_refused(server_url, client) -> None:
    costly = {"prompt": "a", "guided_regex": "(a?){900}a{900}"}
    answer = httpx.post(f"{server_url}/v1/completions", json=costly, timeout=30)
    assert answer.status_code == 400
    assert "too many expressions" in answer.json()["error"]["message"]
    with pytest.raises(openai.BadRequestError, match="guided_regex"):
        client.completions.create(model=LLM, prompt="a", extra_body={"guided_regex": "("})
