"""JSON that was asked for, and arguments of tools."""

import json

import pytest

from schemas.evaluators import Evaluator
from schemas.records import Content, Finding, Message, Operation, Part
from tests.evaluate.checks.measuring import chat, measure, score
from tests.evaluate.samples import operation

SCHEMA = json.dumps(
    {"type": "object", "required": ["city", "days"], "additionalProperties": False,
     "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}}
)  # fmt: skip
TOOL = json.dumps(
    {"type": "function", "function": {"name": "weather", "parameters": json.loads(SCHEMA)}}
)
GOOD = '{"city": "Oslo", "days": 3}'


def asked(answer: str, schema: str = "", **fields: object) -> Operation:
    """A call that asked for JSON by parameter."""
    parameters = {"output.type": "json"} | ({"output.schema": schema} if schema else {})
    return chat("Weather?", answer, call={"parameters": parameters}, **fields)  # type: ignore[arg-type]


def with_tool(name: str, arguments: str, *tools: str) -> Operation:
    """A call that answered by calling a tool."""
    part = Part(type="tool_call", name=name, text=arguments)
    content = Content(output=(Message(role="assistant", parts=(part,)),), tools=tools)
    return operation(content=content)


@pytest.mark.parametrize(
    ("answer", "schema", "found"),
    [
        (GOOD, "", 0.0), (GOOD, SCHEMA, 0.0), ("[1, 2]", "", 0.0), (' {"a": 1}\n', "", 0.0),
        (f"```json\n{GOOD}\n```", SCHEMA, 0.3), (f"```\n{GOOD}\n```", "", 0.3),
        ('{"city": "Oslo"}', SCHEMA, 0.8), ('{"city": 1, "days": 3}', SCHEMA, 0.8),
        ('{"city": "Oslo", "days": 0}', SCHEMA, 0.8),
        ('{"city": "Oslo", "days": 3, "x": 1}', SCHEMA, 0.8),
        ("Here you are: " + GOOD, "", 1.0), (GOOD[:-1], "", 1.0), ("{'city': 'Oslo'}", "", 1.0),
        (GOOD + GOOD, "", 1.0), ('{"a": NaN}', "", 1.0), ("null", "", 1.0),
        (GOOD, "{not a schema", 0.0), (GOOD, '{"$ref": "https://example.com/s.json"}', 0.0),
        (GOOD, '{"type": "no-such-type"}', 0.0),
    ],
)  # fmt: skip
def test_asked_by_parameter(answer: str, schema: str, found: float) -> None:
    assert score(Evaluator.JSON_VALIDITY, asked(answer, schema)) == found


@pytest.mark.parametrize(
    "system",
    ["Respond only with valid JSON.", "Answer strictly as JSON: {...}", "Output JSON only.",
     "Antworte nur mit JSON.", "You must return nothing but JSON."],
)  # fmt: skip
def test_asked_in_words(system: str) -> None:
    assert score(Evaluator.JSON_VALIDITY, chat("Weather?", "Sunny.", system)) == 1
    assert score(Evaluator.JSON_VALIDITY, chat("Weather?", GOOD, system)) == 0


@pytest.mark.parametrize(
    ("user", "answer"),
    [("What is JSON?", "JSON is a format."), ("Show me some JSON", f"Sure:\n```json\n{GOOD}\n```"),
     ("Is only valid JSON accepted?", "Yes."), ("Weather?", GOOD)],
)  # fmt: skip
def test_not_asked_for_is_not_judged(user: str, answer: str) -> None:
    assert score(Evaluator.JSON_VALIDITY, chat(user, answer)) is None


@pytest.mark.parametrize(
    ("name", "arguments", "tools", "found"),
    [
        ("weather", GOOD, (TOOL,), 0.0), ("weather", '{"city": "Oslo"}', (TOOL,), 0.8),
        ("weather", '{"city": "Oslo"', (TOOL,), 1.0), ("send_money", "{}", (TOOL,), 0.9),
        ("weather", GOOD, (), 0.0), ("weather", "{", (), 1.0), ("weather", "", (TOOL,), None),
        ("weather", GOOD, ('{"name": "weather", "input_schema": ' + SCHEMA + "}",), 0.0),
        ("weather", "{}", ('{"name": "weather", "input_schema": ' + SCHEMA + "}",), 0.8),
        ("weather", GOOD, ("no json", "[]", "{}"), 0.0),
    ],
)  # fmt: skip
def test_arguments_of_tools(
    name: str, arguments: str, tools: tuple[str, ...], found: float | None
) -> None:
    assert score(Evaluator.JSON_VALIDITY, with_tool(name, arguments, *tools)) == found


def test_what_the_redactor_masked_is_not_held_against_the_answer() -> None:
    answer = '{"city": "<EMAIL_K7QX>", "days": <CARD_ABCD>, "more": [<PHONE_2345>]}'
    masked = Finding(entity="CARD", secret=False, part="output/0/0", hash="a", start=1, end=2)
    assert score(Evaluator.JSON_VALIDITY, asked(answer, SCHEMA, findings=(masked,))) == 0
    assert score(Evaluator.JSON_VALIDITY, asked(answer, SCHEMA)) == 1


def test_a_pattern_cannot_hold_the_stage_up_and_long_json_is_whole() -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}})
    assert score(Evaluator.JSON_VALIDITY, asked(json.dumps({"a": "a" * 5000 + "b"}), schema)) == 0.8
    rows = json.dumps([{"city": "Oslo", "days": n} for n in range(30_000)])
    found = measure(Evaluator.JSON_VALIDITY, asked(rows), limit=1_000)
    assert found is not None
    assert found.score == 0


def test_deep_nesting_is_no_crash() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    assert score(Evaluator.JSON_VALIDITY, asked(deep)) in (0.0, 1.0)
