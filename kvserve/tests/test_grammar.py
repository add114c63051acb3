"""Schemas that cannot be served are refused with a reason."""

import pytest

from kvserve.errors import RequestRefused
from kvserve.grammar import gbnf_for_schema


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strin"}, "'strin' is not valid"),
        ({"type": "object", "properties": []}, "at properties"),
        ({"$ref": "#/nowhere"}, "cannot be turned into a grammar"),
        ({"$ref": "https://example.org/schema"}, "Fetching remote schemas is not allowed"),
        ({"type": "string", "maxLength": 10**9}, "a repetition of 1000000000"),
        ({"type": "string", "pattern": "^a{99999}$"}, "a repetition of 99999"),
        ({"type": "object", "title": "x" * 70_000}, "at most 65536"),
    ],
)
def test_it_refuses_a_schema_it_cannot_serve(schema, message) -> None:
    with pytest.raises(RequestRefused, match=message):
        gbnf_for_schema(schema)


def test_it_forbids_raw_control_characters_in_strings() -> None:
    assert r"\x00-\x1F" in gbnf_for_schema({"type": "string"})
