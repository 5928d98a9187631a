"""Single fields of a fragment: what senders really send, and what they should not."""

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.otlp import decode_traces, spans
from processors.operations.content import CONTENT_MAX_BYTES, FINDINGS_MAX, encoded_bytes
from schemas.identity import EPOCH_DAY
from schemas.records import Usage
from schemas.records import encode_record as encode
from tests.operations.spans import (
    call_of,
    chat,
    make_span,
    messages,
    read,
    read_span,
    request,
    texts,
)

# --- identity ------------------------------------------------------------------------------------


def test_same_bytes_are_the_same_fragment_in_any_message_and_encoding() -> None:
    span = make_span(chat(request__model="m"))
    other = make_span(chat(request__model="m"), span_id=b"\x01" * 8)
    alone = next(iter(spans(decode_traces(request(span).SerializeToString(), "sniff").request)))
    beside = list(spans(decode_traces(request(other, span).SerializeToString(), "sniff").request))[
        1
    ]
    assert read_span(alone[2]) == read_span(beside[2])
    first = read_span(span, timestamp_ms=1)
    second = read_span(span, timestamp_ms=2)
    assert first is not None
    assert second is not None
    assert first.fragment_id == second.fragment_id
    changed = make_span(chat(request__model="n"))
    assert read_span(changed).fragment_id != first.fragment_id  # type: ignore[union-attr]


@pytest.mark.parametrize("start_ns", [0, 1, 2**64 - 1, 2**63])
def test_absurd_times_are_flagged_and_kept_apart(start_ns: int) -> None:
    fragment = read(chat(), start_time_unix_nano=start_ns, end_time_unix_nano=5)
    assert fragment.day == EPOCH_DAY
    assert "start_time_untrusted" in call_of(fragment).flags
    assert call_of(fragment).end_ns >= call_of(fragment).start_ns
    assert fragment.time_ns < 2**63


# --- filtering, recognition ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [{}, {"http.request.method": "POST"}, {"db.system": "postgresql"}, {"llm": "x"},
     {"traceloop.association.properties.user_id": "u", "http.route": "/"}],
)  # fmt: skip
def test_other_spans_are_filtered(attributes: dict[str, Any]) -> None:
    assert read_span(make_span(attributes)) is None


def test_unknown_emitters_keep_what_any_key_says() -> None:
    fragment = read({"gen_ai.request.model": "m-1", "gen_ai.usage.input_tokens": 3})
    call = call_of(fragment)
    assert (call.dialect, call.kind, call.service_name) == ("other", "chat", "shop")
    assert (call.request_model, call.usage.input_tokens) == ("m-1", 3)


@pytest.mark.parametrize(
    ("scope", "attributes", "dialect"),
    [
        ("x", {"openinference.span.kind": "LLM", "gen_ai.system": "openai"}, "openinference"),
        ("openinference.instrumentation.x", {}, "openinference"),
        ("langfuse-sdk", {"gen_ai.request.model": "m"}, "langfuse"),
        ("x", {"ai.operationId": "ai.generateText.doGenerate", "gen_ai.system": "openai.chat"},
         "vercel_ai_legacy"),
        ("x", {"traceloop.span.kind": "task"}, "openllmetry"),
        ("x", {"gen_ai.prompt.0.role": "user", "gen_ai.system": "OpenAI"}, "openllmetry"),
        ("opentelemetry.instrumentation.openai.v1", {"gen_ai.system": "openai"}, "openllmetry"),
        ("x", {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}, "mcp"),
        ("x", {"gen_ai.system": "openai"}, "otel_genai"),
    ],
)  # fmt: skip
def test_the_strongest_signal_names_the_dialect(
    scope: str, attributes: dict[str, Any], dialect: str
) -> None:
    assert call_of(read(attributes, scope)).dialect == dialect


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_tokens", "usage"),
    [
        ({"input_tokens": 42, "output_tokens": 17}, Usage(input_tokens=42, output_tokens=17)),
        ({"input_tokens": "42", "output_tokens": 17.0}, Usage(input_tokens=42, output_tokens=17)),
        ({"input_tokens": float("nan"), "output_tokens": 17}, Usage(output_tokens=17)),
        ({"input_tokens": -1, "output_tokens": "many"}, Usage()),
        ({"input_tokens": True, "output_tokens": 2**62}, Usage()),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        ({"prompt_tokens": 5, "completion_tokens": 6}, Usage(input_tokens=5, output_tokens=6)),
        (
            {"input_tokens": 63, "cache_read.input_tokens": 20, "cache_write.input_tokens": 12},
            Usage(input_tokens=31, cache_read_tokens=20, cache_write_tokens=12),
        ),
        (
            {"input_tokens": 31, "cache_read.input_tokens": 40},
            Usage(input_tokens=31, cache_read_tokens=40),
        ),
        (
            {"input_tokens": 1, "output_tokens": 17, "reasoning.output_tokens": 5},
            Usage(input_tokens=1, output_tokens=12, reasoning_tokens=5),
        ),
    ],
)
def test_usage(given_tokens: dict[str, Any], usage: Usage) -> None:
    keys = {f"gen_ai.usage.{name}": value for name, value in given_tokens.items()}
    assert call_of(read(chat() | keys)).usage == usage


def test_price_of_the_call() -> None:
    known = chat(request__model="gpt-4o-mini", usage__input_tokens=1000, usage__output_tokens=100)
    call = call_of(read(known))
    assert call.cost_usd == Decimal("0.00021")
    assert call.price_version.startswith("genai-prices/")
    unknown = call_of(read(known | {"gen_ai.request.model": "no-such-model-1"}))
    assert (unknown.cost_usd, unknown.price_version) == (None, "")
    agent = call_of(read(known | {"gen_ai.operation.name": "invoke_agent"}))
    assert agent.cost_usd is None
    reported = call_of(read(known | {"gen_ai.usage.cost": "0.0123"}))
    assert reported.reported_cost_usd == Decimal("0.0123")


@pytest.mark.parametrize(
    ("said", "folded"),
    [(["stop"], "stop"), ('["tool_calls"]', "tool_call"), ("end_turn", "stop"),
     (["tool-calls"], "tool_call"), ("FinishReason.MAX_TOKENS", "length"),
     (["SAFETY"], "content_filter"),
     ("MALFORMED_FUNCTION_CALL", "error"), (["max_steps"], "max_steps")],
)  # fmt: skip
def test_finish_reasons(said: Any, folded: str) -> None:
    assert call_of(read(chat(response__finish_reasons=said))).finish_reasons == (folded,)


def test_errors_have_a_type() -> None:
    failed = Status(code=Status.STATUS_CODE_ERROR, message="secret text")
    event = Span.Event(name="exception")
    event.attributes.add(key="exception.type").value.string_value = "openai.NotFoundError"
    call = call_of(read(chat(), status=failed, events=[event]))
    assert (call.status, call.error_type) == ("error", "openai.NotFoundError")
    assert call_of(read(chat() | {"error.type": "429"}, status=failed)).error_type == "429"


# --- privacy -------------------------------------------------------------------------------------


def test_content_and_free_fields_are_redacted() -> None:
    said = messages({"role": "user", "parts": [{"type": "text", "content": "mail a@b.io"}]})
    fragment = read(
        chat(input__messages=said, output__messages="to a@b.io", agent__name="bot of c@d.io")
        | {"user.id": "jane@example.com", "gen_ai.request.stop_sequences": ["x@y.io"]},
        name="chat for c@d.io",
    )
    dumped = fragment.model_dump_json()
    assert not any(value in dumped for value in ("a@b.io", "c@d.io", "jane@", "x@y.io"))
    assert [(f.part, f.entity) for f in fragment.findings] == [
        ("input/0/0", "EMAIL"),
        ("output/0/0", "EMAIL"),
    ]
    assert fragment.findings[0].hash == fragment.findings[1].hash
    assert call_of(fragment).user_id.startswith("id_")


def test_content_is_withheld_if_redaction_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> list[object]:
        raise RuntimeError("hello")

    monkeypatch.setattr("processors.operations.redact.detect", broken)
    fragment = read(chat(input__messages="hello for once", usage__input_tokens=3))
    assert fragment.content.chars() == 0
    assert call_of(fragment).content_state == "dropped_by_policy"
    assert "redaction_failed" in call_of(fragment).flags
    assert call_of(fragment).usage.input_tokens == 3
    assert "hello" not in fragment.model_dump_json()


def test_findings_are_bounded_but_everything_is_masked() -> None:
    fragment = read(chat(input__messages="a@b.io " * (FINDINGS_MAX + 5)))
    assert len(fragment.findings) == FINDINGS_MAX
    assert "findings_truncated" in call_of(fragment).flags
    assert "a@b.io" not in fragment.model_dump_json()


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["word ", "\u0001", '"', "🌧", "x"])
def test_huge_content_is_cut_and_flagged(unit: str) -> None:
    short = {"role": "user", "parts": [{"type": "text", "content": "short"}]}
    long = {"role": "user", "parts": [{"type": "text", "content": unit * (6_000_000 // len(unit))}]}
    fragment = read(chat(input__messages=json.dumps([short, long], ensure_ascii=False)))
    assert "truncated" in call_of(fragment).flags
    assert texts(fragment)[0] == ("input/0/0", "short")
    size = sum(encoded_bytes(text) for _, text in texts(fragment))
    assert CONTENT_MAX_BYTES * 0.9 < size <= CONTENT_MAX_BYTES
    assert len(encode(fragment)) < 5 << 20


def test_too_many_messages_keep_the_newest() -> None:
    many = [{"role": "user", "content": str(number)} for number in range(20_000)]
    fragment = read(chat(input__messages=json.dumps(many)))
    assert "truncated" in call_of(fragment).flags
    assert texts(fragment)[-1][1] == "19999"
    assert len(encode(fragment)) < 5 << 20


def test_long_fields_are_cut() -> None:
    fragment = read(chat(request__model="m" * 100_000), name="n" * 100_000)
    assert len(encode(fragment)) < 10_000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5_000, "[" * 900 + "]" * 900])
def test_deep_nesting_is_harmless(text: str) -> None:
    fragment = read(chat(input__messages=text, system_instructions=text, tool__definitions=text))
    assert encode(fragment)


def test_values_of_the_wrong_type_are_flagged_by_their_key() -> None:
    call = call_of(read(chat(usage__input_tokens="twelve", usage__output_tokens=2**62)))
    assert call.usage == Usage()
    assert call.flags == (
        "unreadable:gen_ai.usage.input_tokens",
        "unreadable:gen_ai.usage.output_tokens",
    )


def test_a_span_of_ten_thousand_attributes_is_read_and_flagged() -> None:
    attributes = chat(request__model="m") | {f"key.{n}": "value" for n in range(10_000)}
    call = call_of(read(attributes))
    assert (call.request_model, call.flags) == ("m", ("many_attributes",))


KEY_OF_A_PROVIDER = "sk-ant-api03-" + "aB3dE5gH7jK9" * 8


@pytest.mark.parametrize("at", [1024, 8192])
@pytest.mark.parametrize("field", ["request__model", "response__id", "conversation__id"])
def test_a_long_field_is_cut_after_redaction(field: str, at: int) -> None:
    said = "model " * ((at - 30) // 6) + KEY_OF_A_PROVIDER + " and more" * 300
    fragment = read(chat(**{field: said}))
    stored: str = getattr(call_of(fragment), field.replace("__", "_"))
    assert 0 < len(stored) <= 1024
    assert "sk-ant" not in fragment.model_dump_json()


def test_a_long_tag_is_cut_after_redaction() -> None:
    said = chat() | {"langfuse.observation.type": "generation"}
    fragment = read(said | {"langfuse.trace.tags": ["tag " * 60 + KEY_OF_A_PROVIDER]})
    assert [len(tag) <= 256 for tag in call_of(fragment).tags] == [True]
    assert "sk-ant" not in fragment.model_dump_json()


def test_a_value_without_any_end_is_none() -> None:
    assert call_of(read(chat(request__model="x" * 9000))).request_model == ""
    assert len(call_of(read(chat(request__model="x" * 8000))).request_model) == 1024
