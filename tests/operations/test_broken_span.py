"""A broken span among good ones: the good ones are as if it were not there."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.otlp import decode_traces
from processors.operations.dialects.log_events import DETAILS_EVENT
from processors.operations.normalize import normalize_log
from processors.operations.redact import Redactor
from processors.runtime.memory import START_NS
from schemas.records import Operation
from stack.decode import Request, assemble
from tests.operations import captures
from tests.operations.spans import REDACTOR, call_of, chat, pairs, read
from tests.operations.test_logs import NOWHERE, make_log

NAME = "otel_genai_latest-opentelemetry-instrumentation-genai-openai-1.3b0"
BREAKS: dict[str, tuple[dict[str, Any], str]] = {
    "a text for a count": ({"stringValue": "forty-two"}, "unreadable:gen_ai.usage.input_tokens"),
    "an array for a count": (
        {"arrayValue": {"values": [{"intValue": "42"}]}},
        "unreadable:gen_ai.usage.input_tokens",
    ),
    "a negative count": ({"intValue": "-42"}, "unreadable:gen_ai.usage.input_tokens"),
    "not a number": ({"doubleValue": "NaN"}, "unreadable:gen_ai.usage.input_tokens"),
}


def operations(document: dict[str, Any]) -> dict[str, Operation]:
    """Operations of an export by span."""
    request = decode_traces(json.dumps(document).encode(), "json")
    found = assemble([Request("export", request)], Redactor(captures.KEY), captures.TENANT)
    return {operation.span_id: operation for operation in found.operations}


@pytest.mark.parametrize("said", BREAKS)
def test_good_ones_are_unaffected_and_the_broken_one_says_which_field(said: str) -> None:
    path: Path = captures.CAPTURES / f"{NAME}.json"
    document = json.loads(path.read_bytes())
    expected = operations(document)
    spans = [
        span
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    broken = next(
        span
        for span in spans
        if any(a["key"] == "gen_ai.usage.input_tokens" for a in span["attributes"])
    )
    value, flag = BREAKS[said]
    for attribute in broken["attributes"]:
        if attribute["key"] == "gen_ai.usage.input_tokens":
            attribute["value"] = value
    found = operations(document)
    assert found.keys() == expected.keys()
    for span_id, operation in found.items():
        if span_id != broken["spanId"]:
            assert operation == expected[span_id]
    stored, was = found[broken["spanId"]], expected[broken["spanId"]]
    assert flag in stored.call.flags
    assert stored.call.usage.input_tokens is None
    assert stored.call.usage.output_tokens == was.call.usage.output_tokens
    assert (stored.content, stored.call.response_model) == (was.content, was.call.response_model)


BROKEN_JSON = '[{"role": "user", "parts": [{"type": "text", "content": "What is the wea'


@pytest.mark.parametrize(
    ("key", "further"),
    [
        ("gen_ai.input.messages", {}),
        ("gen_ai.output.messages", {}),
        ("gen_ai.tool.definitions", {}),
        ("metadata", {"openinference.span.kind": "LLM"}),
        ("mlflow.spanInputs", {"mlflow.spanType": '"CHAT_MODEL"'}),
        ("ai.prompt.messages", {"ai.operationId": "ai.generateText.doGenerate"}),
    ],
)
def test_json_that_is_cut_off_is_kept_as_text_and_said(key: str, further: dict[str, str]) -> None:
    call = call_of(read(chat() | further | {key: BROKEN_JSON}))
    assert call.flags == (f"unreadable:{key}",)


@pytest.mark.parametrize("said", ["hello", "[INST] hello", "{name}, hello", "[]", "{}"])
def test_a_plain_text_where_messages_belong_is_none_of_that(said: str) -> None:
    assert call_of(read(chat(input__messages=said))).flags == ()


def test_a_log_record_says_what_it_could_not_read() -> None:
    record = make_log(DETAILS_EVENT, attributes=pairs({"gen_ai.input.messages": BROKEN_JSON}))
    fragment = normalize_log(record, NOWHERE, "default", START_NS // 1_000_000, REDACTOR)
    assert fragment is not None
    assert fragment.flags == ("unreadable:gen_ai.input.messages",)
