"""The form of answer that was asked for, whoever says it."""

import json
from typing import Any

import pytest

from tests.operations.spans import call_of, chat, read

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TEXT = '{"type":"object","properties":{"city":{"type":"string"}}}'
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, {}),
        ({"gen_ai.output.type": "text"}, {}),
        ({"gen_ai.output.type": "json"}, {"output.type": "json"}),
        ({"gen_ai.openai.request.response_format": "json_object"}, {"output.type": "json"}),
        (
            {"gen_ai.request.structured_output_schema": json.dumps(SCHEMA)},
            {"output.type": "json", "output.schema": TEXT},
        ),
        ({"ai.schema": TEXT}, {"output.type": "json", "output.schema": TEXT}),
        (
            {"llm.invocation_parameters": json.dumps({"response_format": FORMAT})},
            {"output.type": "json", "output.schema": TEXT},
        ),
        ({"llm.invocation_parameters": json.dumps({"response_format": {"type": "text"}})}, {}),
        ({"llm.invocation_parameters": "{broken"}, {}),
        ({"gen_ai.output.type": "json", "ai.schema": "[1]"}, {"output.type": "json"}),
        (
            {"ai.schema": json.dumps({"type": "object", "description": "x" * 9000})},
            {"output.type": "json"},
        ),
    ],
)
def test_the_form_is_read(said: dict[str, Any], found: dict[str, str]) -> None:
    parameters = call_of(read(chat() | said)).parameters
    assert {k: v for k, v in parameters.items() if k.startswith("output.")} == found
