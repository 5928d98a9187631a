"""What makes the same call look different: each hazard that captures have proved, by name."""

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.runtime.memory import START_NS
from schemas.records import LLM_KINDS, Operation, Part, Usage
from tests.operations import captures
from tests.operations.spans import call_of, chat, messages, read, texts

BILLED = Usage(input_tokens=34, cache_read_tokens=8, output_tokens=12, reasoning_tokens=5)


def counted(name: str, kinds: frozenset[str] = LLM_KINDS) -> list[Operation]:
    """Operations of a capture that count, of these kinds."""
    found = captures.decoded(name).operations
    return [o for o in found if o.call.kind in kinds and not o.duplicate_of]


# --- one call, several spans ---------------------------------------------------------------------


def test_vercels_outer_span_is_the_agent_and_its_steps_count() -> None:
    for name, calls in (("vercel_ai_sdk4-ai-4.3.19", 9), ("vercel_ai_sdk5-ai-5.0.277", 9)):
        found = counted(name)
        assert len(found) == calls
        assert all(o.call.span_name.endswith(("doGenerate", "doStream")) for o in found)
        outer = counted(name, frozenset({"invoke_agent"}))
        assert all(o.call.rolls_up() for o in outer)


@pytest.mark.parametrize(
    "name",
    [
        "vercel_ai_sdk4-ai-4.3.19",
        "vercel_ai_sdk5-ai-5.0.277",
        "vercel_ai_sdk7_modern-ai-sdk-otel-1.0.173",
    ],
)
def test_two_embeddings_spans_are_one_call(name: str) -> None:
    found = counted(name, frozenset({"embeddings"}))
    assert [o.call.usage.input_tokens for o in found] == [6, 6]
    assert all(o.parent_span_id for o in found), "the inner one counts"


def test_litellms_raw_span_points_to_its_request_and_gives_it_what_it_lost() -> None:
    name = "litellm_otel-litellm-1.106.2"
    found = counted(name)
    assert {o.call.span_name for o in found} == {"g1", "litellm_request"}
    assert len(found) == 6
    (asked,) = (o for o in found if o.call.finish_reasons == ("tool_call",))
    part = asked.content.output[0].parts[0]
    assert (part.type, part.name, part.id) == ("tool_call", "get_weather", "call_Paris000")


@pytest.mark.parametrize(
    "name",
    [
        "otel_genai_latest-opentelemetry-instrumentation-genai-anthropic-1.3b0",
        "openinference-openinference-instrumentation-anthropic-3.1.0",
    ],
)
def test_the_anthropic_sdks_own_child_span_counts_and_has_the_richest_content(name: str) -> None:
    found = captures.decoded(name).operations
    outer = [o for o in found if o.duplicate_of]
    inner = {o.span_id: o for o in found if o.call.dialect == "anthropic_sdk"}
    assert len(outer) >= 7
    for operation in outer:
        counts = inner[operation.duplicate_of]
        assert counts.content.chars() >= operation.content.chars()
        only_the_sdk = {"cache_write_1h_tokens": None}
        assert counts.call.usage.model_copy(update=only_the_sdk) == operation.call.usage
        assert counts.call.conversation_id == operation.call.conversation_id
        assert counts.call.tags == operation.call.tags


def test_a_sibling_with_the_same_answer_is_the_same_call() -> None:
    """OpenLLMetry does not make its span the current one: the SDK's own is beside it."""
    name = "traceloop-opentelemetry-instrumentation-anthropic-0.62.4"
    found = {o.span_id: o for o in captures.decoded(name).operations}
    beside = [o for o in found.values() if o.parent_span_id and o.call.kind == "chat"]
    pointing = [o for o in beside if o.duplicate_of]
    assert len(beside) == 4
    assert len(pointing) == 2
    for outer in pointing:
        inner = found[outer.duplicate_of]
        assert (outer.call.dialect, inner.call.dialect) == ("openllmetry", "anthropic_sdk")
        assert outer.call.response_id == inner.call.response_id
        assert inner.content.chars() == outer.content.chars()


def test_mcps_three_spans_are_one_tool_call() -> None:
    found = counted("mcp-fastmcp-4.1.2", frozenset({"execute_tool"}))
    assert [o.call.tool_name for o in found] == ["get_weather", "boom"]
    assert all(o.call.scope_name == "fastmcp" for o in found)


def test_logfires_streamed_call_is_its_second_span() -> None:
    found = counted("logfire-logfire-5.2.0")
    assert len(found) == 7
    streamed = [o for o in found if o.call.span_name.startswith("streaming")]
    assert [o.call.usage.reasoning_tokens for o in streamed] == [5, 5]
    assert all(o.call.end_ns > o.call.start_ns for o in streamed)


# --- roll-ups ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "pydantic_ai_v1-pydantic-ai-slim-0.8.1",
        "pydantic_ai_v2-pydantic-ai-slim-0.8.1",
        "pydantic_ai_v5-pydantic-ai-slim-2.68.0",
        "strands_latest-strands-agents-1.62.0",
        "strands_events-strands-agents-1.62.0",
        "agent_framework_latest-agent-framework-core-1.23.0",
        "vercel_ai_sdk7_modern-ai-sdk-otel-1.0.173",
        "google_adk2-google-adk-2.13.0",
    ],
)
def test_sums_on_agents_do_not_count(name: str) -> None:
    """What counts is what the model's own spans say; those that repeat it roll up, unpriced."""
    for operation in captures.decoded(name).operations:
        usage = operation.call.usage
        billed_in = (usage.input_tokens or 0) + (usage.cache_read_tokens or 0)
        if operation.call.kind in LLM_KINDS:
            assert billed_in in (0, 42)
        elif usage.known() and operation.call.kind != "embeddings":
            assert operation.call.rolls_up()
            assert operation.call.cost_usd is None


# --- values --------------------------------------------------------------------------------------


def test_nan_is_unknown_and_says_so() -> None:
    (streamed, *_) = (
        o for o in counted("vercel_ai_sdk4-ai-4.3.19") if "doStream" in o.call.span_name
    )
    assert streamed.call.usage == Usage()
    assert "unreadable:ai.usage.promptTokens" in streamed.call.flags


def test_numbers_and_booleans_may_be_text() -> None:
    spring = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "mistral_ai",
        "spring.ai.model.request.tool.names": '["a", "b"]',
        "gen_ai.usage.input_tokens": "42",
        "gen_ai.usage.output_tokens": "17",
        "gen_ai.usage.total_tokens": "59",
        "gen_ai.request.temperature": "0.2",
        "gen_ai.response.finish_reasons": '["STOP"]',
        "spring.ai.chat.client.stream": "True",
    }
    call = call_of(read(spring))
    assert (call.dialect, call.usage) == ("spring_ai", Usage(input_tokens=42, output_tokens=17))
    assert call.parameters == {"temperature": "0.2", "stream": "true"}
    assert call.finish_reasons == ("stop",)


def test_an_empty_text_is_absent() -> None:
    call = call_of(read(chat(request__model="", response__model="m", conversation__id="")))
    assert (call.request_model, call.response_model, call.conversation_id) == ("", "m", "")


def test_python_representations_are_read() -> None:
    raw = {
        "llm.openai.messages": "[{'role': 'user', 'content': 'it\\'s \\x41'}]",
        "llm.openai.choices": "[{'finish_reason': 'stop', 'message': {'content': None, "
        "'role': 'assistant', 'tool_calls': [{'id': 'c', 'function': {'arguments': '{}', "
        "'name': 'f'}}]}}]",
        "llm.openai.usage": "{'prompt_tokens': 42, 'completion_tokens': 17, 'total_tokens': 59, "
        "'prompt_tokens_details': {'cached_tokens': 8}, 'completion_tokens_details': "
        "{'reasoning_tokens': 5}}",
    }
    assert call_of(read(raw, scope="litellm", name="raw_gen_ai_request")).usage == BILLED
    for usage in (
        "Usage(prompt_tokens=42, completion_tokens=17, prompt_tokens_details="
        "Details(cached_tokens=8), completion_tokens_details=Details(reasoning_tokens=5))",
        "OrderedDict([('prompt_tokens', 34), ('completion_tokens', 17), ('reasoning_tokens', 5), "
        "('cached_input_tokens', 8), ('total_tokens', 59)])",
        "OrderedDict({'prompt_tokens': 42, 'completion_tokens': 17, 'total_tokens': 59, "
        "'cached_input_tokens': 8, 'reasoning_tokens': 5})",
    ):
        said = {"langfuse.observation.type": "generation"}
        found = read(said | {"langfuse.observation.usage_details": usage})
        assert call_of(found).usage == BILLED, usage
    fragment = read(raw, scope="litellm", parent_span_id=b"\x01" * 8, name="raw_gen_ai_request")
    assert texts(fragment) == [("input/0/0", "it's A"), ("output/0/0", "{}")]
    assert call_of(fragment).usage == BILLED
    assert fragment.duplicate_of == "01" * 8


@pytest.mark.parametrize("times", [0, 1, 2])
def test_json_may_be_in_json(times: int) -> None:
    said: Any = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    for _ in range(times):
        said = json.dumps(said)
    assert texts(read(chat(input__messages=said))) == [("input/0/0", "hi")]


def test_tool_arguments_may_be_objects_or_json() -> None:
    part = {"type": "tool_call", "id": "c", "name": "f"}
    for arguments in ({"a": 1}, '{"a":1}'):
        said = messages({"role": "assistant", "parts": [{**part, "arguments": arguments}]})
        found = read(chat(output__messages=said)).content.output[0].parts
        assert found == (Part(type="tool_call", id="c", name="f", text='{"a":1}'),)


# --- older spellings ----------------------------------------------------------------------------

OPENLLMETRY = "opentelemetry.instrumentation.openai.v1"


def test_a_flattened_function_call_is_a_tool_call() -> None:
    fragment = read(
        {
            "llm.request.type": "chat",
            "gen_ai.prompt.0.content": "hi",
            "gen_ai.completion.0.finish_reason": "function_call",
            "gen_ai.completion.0.function_call.name": "f",
            "gen_ai.completion.0.function_call.arguments": '{"a":1}',
        },
        OPENLLMETRY,
    )
    assert fragment.content.output[0].parts == (Part(type="tool_call", name="f", text='{"a":1}'),)


def test_openllmetrys_first_keys_are_read() -> None:
    fragment = read(
        {
            "llm.vendor": "OpenAI",
            "llm.request.type": "chat",
            "llm.request.model": "gpt-4",
            "llm.response.model": "gpt-4-0613",
            "llm.prompts.0.role": "user",
            "llm.prompts.0.content": "hi",
            "llm.completions.0.role": "assistant",
            "llm.completions.0.content": "yo",
            "llm.usage.prompt_tokens": 42,
            "llm.usage.completion_tokens": 17,
        },
        OPENLLMETRY,
    )
    call = call_of(fragment)
    assert (call.kind, call.provider) == ("chat", "openai")
    assert (call.request_model, call.response_model) == ("gpt-4", "gpt-4-0613")
    assert call.usage == Usage(input_tokens=42, output_tokens=17)
    assert texts(fragment) == [("input/0/0", "hi"), ("output/0/0", "yo")]


@pytest.mark.parametrize(
    "name", ["llm.content.completion.chunk", "gen_ai.content.completion.chunk"]
)
def test_the_first_token_of_a_stream_is_its_first_chunk(name: str) -> None:
    chunks = [Span.Event(name=name, time_unix_nano=START_NS + n * 10**8) for n in (3, 4)]
    call = call_of(read({"llm.request.type": "chat"}, OPENLLMETRY, events=chunks))
    assert call.time_to_first_token_ns == 300_000_000


def test_logfires_bodies_alone_are_a_call() -> None:
    said = {
        "logfire.msg": "x",
        "request_data": json.dumps(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        ),
        "response_data": json.dumps(
            {
                "message": {"role": "assistant", "content": "yo"},
                "usage": {"prompt_tokens": 42, "completion_tokens": 17, "total_tokens": 59},
            }
        ),
    }
    call = call_of(read(said, "logfire.openai"))
    assert (call.dialect, call.kind, call.request_model) == ("logfire", "chat", "gpt-4o")
    assert call.cost_usd == (42 * Decimal("2.5") + 17 * 10) / 1_000_000


# --- where things are ----------------------------------------------------------------------------


def test_time_to_first_token_in_seconds_or_milliseconds_under_one_key() -> None:
    key = "gen_ai.server.time_to_first_token"
    openlit = read(chat() | {key: 0.25, "telemetry.sdk.name": "openlit"})
    strands = read(chat() | {key: 250}, scope="strands.telemetry.tracer")
    assert call_of(openlit).time_to_first_token_ns == 250_000_000
    assert call_of(strands).time_to_first_token_ns == 250_000_000


@pytest.mark.parametrize(
    ("said", "found_ns"),
    [(0.25, 250_000_000), (250, 250_000_000), (1.0, 1_000_000_000), (1.2, 1_200_000_000)],
)
def test_milliseconds_under_a_key_for_seconds_are_told_by_the_calls_length(
    said: float, found_ns: int
) -> None:
    found = read(chat() | {"gen_ai.server.time_to_first_token": said})  # of one second
    assert call_of(found).time_to_first_token_ns == found_ns


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("us.anthropic.claude-x", "aws.bedrock"),
        ("openai/gpt-4o", "openai"),
        ("own-model", "strands-agents"),
    ],
)
def test_the_provider_behind_a_framework_is_told_by_the_model(model: str, provider: str) -> None:
    said = {"gen_ai.provider.name": "strands-agents", "gen_ai.request.model": model}
    call = call_of(read(chat() | said, scope="strands.telemetry.tracer"))
    assert call.provider == provider


def test_azures_literal_chat_is_no_model() -> None:
    scope = "azure.core.tracing.ext.opentelemetry_span"
    said = {"gen_ai.operation.name": "chat", "gen_ai.system": "az.ai.inference"}
    for model, read_model in (("chat", ""), ("gpt-4o", "gpt-4o")):
        call = call_of(read(said | {"gen_ai.request.model": model}, scope))
        assert (call.request_model, call.provider) == (read_model, "azure.ai.inference")


def test_content_kept_elsewhere_is_kept_as_its_address() -> None:
    name = "otel_genai_latest_upload_ref-opentelemetry-instrumentation-genai-openai-1.3b0"
    found = counted(name)
    assert found
    for operation in found:
        assert operation.call.content_state == "external"
        (part,) = operation.content.input[0].parts
        assert (part.text, part.uri[:5]) == ("", "file:")


def test_the_user_that_only_the_log_record_has() -> None:
    found = counted("google_adk2-google-adk-2.13.0")
    assert {o.call.user_id for o in found} == {"user-42"}
    assert all(o.content.output for o in found)
