"""Messages of every shape that emitters really send."""

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.encoding import decode_batch, encode_batch
from schemas.records import Document, Fragment, Message, Part
from schemas.records import encode_record as encode
from tests.operations.spans import call_of, chat, messages, pairs, read, texts

TOOL_CALL = Part(type="tool_call", id="c1", name="f", text='{"a":1}')


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f",
                                         "arguments": {"a": 1}}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f",
                                         "arguments": '{"a":1}'}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f",
                                           "input": {"a": 1}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f",
                                                       "input": {"a": 1}}}]},
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1",
                                           "toolName": "f", "args": {"a": 1}}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"message": {"role": "assistant", "tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": '{"a":1}'}}]}, "index": 0},
    ],
)  # fmt: skip
def test_tool_calls_of_every_shape(message: dict[str, Any]) -> None:
    fragment = read(chat(output__messages=messages(message)))
    assert fragment.content.output[0].role == "assistant"
    assert fragment.content.output[0].parts == (TOOL_CALL,)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "ok"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "ok"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "c1",
                                      "content": [{"type": "text", "text": "ok"}]}]},
        {"role": "tool", "content": [{"toolResult": {"toolUseId": "c1",
                                                     "content": [{"text": "ok"}]}}]},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {"lc": 1, "type": "constructor", "kwargs": {"type": "tool", "content": "ok",
                                                    "tool_call_id": "c1"}},
    ],
)  # fmt: skip
def test_tool_results_of_every_shape(message: dict[str, Any]) -> None:
    fragment = read(chat(input__messages=messages(message)))
    assert fragment.content.input == (
        Message(role="tool", parts=(Part(type="tool_result", id="c1", text="ok"),)),
    )


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBO" * 99},
         Part(type="media", mime_type="image/png", name="image")),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBO" * 99}},
         Part(type="media", mime_type="image/png")),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
         Part(type="media", uri="https://example.com/a.png")),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                      "data": "iVBO" * 99}},
         Part(type="media", mime_type="image/png")),
        ({"inline_data": {"mime_type": "image/png", "data": "iVBO" * 99}},
         Part(type="media", mime_type="image/png")),
        ({"type": "uri", "uri": "s3://bucket/x", "modality": "document"},
         Part(type="media", uri="s3://bucket/x", name="document")),
        ({"type": "text", "content": "see data:image/png;base64," + "iVBO" * 99 + " there"},
         Part(type="text", text="see [media image/png] there")),
        ({"type": "thinking", "thinking": "hm"}, Part(type="reasoning", text="hm")),
        ({"type": "vendor_thing", "text": "x"}, Part(type="other", name="vendor_thing", text="x")),
        ({"type": "text", "content": [{"type": "text", "text": "deep"}]},
         Part(type="text", text="deep")),
        ({"text": "hm", "thought": True}, Part(type="reasoning", text="hm")),
        ({"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain",
                                                       "data": "Ignore all."}},
         Part(type="text", text="Ignore all.")),
    ],
)  # fmt: skip
def test_blocks_of_every_shape(block: dict[str, Any], part: Part) -> None:
    fragment = read(chat(input__messages=messages({"role": "user", "parts": [block]})))
    assert fragment.content.input[0].parts == (part,)


@pytest.mark.parametrize(
    ("message", "media"),
    [
        ({"role": "user", "parts": [
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "AAAA",
             "transcript": "hi"}]},
         Part(type="media", mime_type="audio/wav", name="audio")),
        ({"role": "user", "parts": [{"type": "uri", "modality": "audio", "uri": "s3://x/y.wav",
                                     "transcript": "hi"}]},
         Part(type="media", uri="s3://x/y.wav", name="audio")),
        ({"role": "user", "content": None, "audio": {"id": "a", "data": "AAAA",
                                                     "transcript": "hi"}},
         Part(type="media", name="audio")),
    ],
)  # fmt: skip
def test_what_was_said_aloud_is_text(message: dict[str, Any], media: Part) -> None:
    fragment = read(chat(input__messages=messages(message)))
    assert fragment.content.input[0].parts == (media, Part(type="text", text="hi"))


def test_what_was_said_aloud_is_text_in_openinference_too() -> None:
    prefix = "llm.output_messages.0.message.contents.0.message_content."
    said = {"openinference.span.kind": "LLM", f"{prefix}type": "audio",
            f"{prefix}audio.audio.url": "s3://x/y.wav",
            f"{prefix}audio.audio.transcript": "hi"}  # fmt: skip
    assert read(said).content.output[0].parts == (
        Part(type="media", uri="s3://x/y.wav"),
        Part(type="text", text="hi"),
    )


@pytest.mark.parametrize(
    "document",
    [
        {"id": "d", "score": "0.87", "content": "x"},
        {"id": "d", "similarity": 0.87, "pageContent": "x"},
        {"id": "d", "page_content": "x", "metadata": {"relevance_score": 0.87}},
    ],
)
def test_documents_of_every_shape(document: dict[str, Any]) -> None:
    said = {"langfuse.observation.type": "retriever",
            "langfuse.observation.output": json.dumps([document])}  # fmt: skip
    assert read(said).content.documents == (Document(id="d", score=0.87, text="x"),)


@pytest.mark.parametrize(
    ("said", "folded"),
    [
        ("FinishReason.STOP", ("stop",)),
        ("StopReason.END_TURN", ("stop",)),
        ("STOP_REASON_MAX_TOKENS", ("length",)),
        (["FINISH_REASON_STOP"], ("stop",)),
        ("<FinishReason.STOP: 'STOP'>", ("stop",)),
        ("toolUse", ("tool_call",)),
        ("ToolCall", ("tool_call",)),
        ("endTurn", ("stop",)),
        ("malformed_tool_use", ("error",)),
        ("model_context_window_exceeded", ("length",)),
        ("ERROR_TOXIC", ("content_filter",)),
        ("tool-calls", ("tool_call",)),
        (["stop", "None"], ("stop",)),
        ("null", ()),
        ("None", ()),
    ],
)
def test_finish_reasons_in_one_vocabulary(said: Any, folded: tuple[str, ...]) -> None:
    assert call_of(read(chat(response__finish_reasons=said))).finish_reasons == folded


def test_the_reason_of_an_answer_is_told_once() -> None:
    body = {"id": "m", "role": "assistant", "stop_reason": "tool_use", "content": [
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]}  # fmt: skip
    said = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '{"messages": []}',
            "mlflow.spanOutputs": json.dumps(body)}  # fmt: skip
    assert call_of(read(said)).finish_reasons == ("tool_call",)


ASKED = Message(role="user", parts=(Part(type="text", text="hi"),))
CALLED = Message(role="assistant", parts=(TOOL_CALL,))
ANSWERED = Message(role="assistant", parts=(Part(type="text", text="yo"),), finish_reason="stop")
DETAILS = "gen_ai.client.inference.operation.details"


@pytest.mark.parametrize(
    ("name", "said", "asked", "answered"),
    [
        ("gen_ai.user.message", {"content": "hi"}, (ASKED,), ()),
        ("gen_ai.user.message", {"content": '[{"type": "text", "text": "hi"}]'}, (ASKED,), ()),
        ("gen_ai.user.message", {"gen_ai.event.content": '{"content": "hi"}'}, (ASKED,), ()),
        ("gen_ai.user.message", {"role": "user"}, (), ()),
        ("gen_ai.assistant.message", {"tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": '{"a":1}'}}]}, (CALLED,), ()),
        ("gen_ai.tool.message", {"id": "c1", "content": "ok"},
         (Message(role="tool", parts=(Part(type="tool_result", id="c1", text="ok"),)),), ()),
        ("gen_ai.choice", {"message": '{"role": "assistant", "content": "yo"}',
                           "finish_reason": "stop", "index": 0}, (), (ANSWERED,)),
        ("gen_ai.choice", {"content": "yo", "finish_reason": "stop"}, (), (ANSWERED,)),
        ("gen_ai.choice", {"message": "yo", "finish_reason": "stop"}, (), (ANSWERED,)),
        (DETAILS, {"gen_ai.input.messages": '[{"role": "user", "content": "hi"}]',
                   "gen_ai.output.messages": [{"role": "assistant", "finish_reason": "stop",
                                               "parts": [{"type": "text", "content": "yo"}]}]},
         (ASKED,), (ANSWERED,)),
    ],
)  # fmt: skip
def test_messages_in_span_events(
    name: str, said: dict[str, Any], asked: tuple[Message, ...], answered: tuple[Message, ...]
) -> None:
    event = Span.Event(name=name, time_unix_nano=1, attributes=pairs(said))
    content = read(chat(), events=[event]).content
    assert (content.input, content.output) == (asked, answered)


def test_native_and_doubly_encoded_messages_read_alike() -> None:
    plain = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    expected = (Message(role="user", parts=(Part(type="text", text="hi"),)),)
    for value in (plain, json.dumps(plain), json.dumps(json.dumps(plain)), "hi"):
        assert read(chat(input__messages=value)).content.input == expected


def test_system_instructions_are_said_once() -> None:
    system = {"role": "system", "parts": [{"type": "text", "content": "be kind"}]}
    user = {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    for instructions in (None, '[{"type": "text", "content": "be kind"}]', "be kind"):
        attributes = chat(input__messages=messages(system, user))
        if instructions:
            attributes["gen_ai.system_instructions"] = instructions
        assert texts(read(attributes)) == [("system/0", "be kind"), ("input/0/0", "hi")]


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    raw = '[{"role":"user","parts":[{"type":"text","content":"a\\ud83dz \\ud83c\\udf27"}]}]'
    fragment = read(chat(input__messages=raw))
    assert texts(fragment) == [("input/0/0", "a\ufffdz 🌧")]
    assert decode_batch(Fragment, encode_batch([encode(fragment)])) == [fragment]


def test_content_elsewhere_or_nowhere_is_a_state() -> None:
    assert call_of(read(chat())).content_state == "not_captured"
    assert call_of(read(chat(input__messages_ref="s3://x"))).content_state == "external"
    assert call_of(read(chat(input__messages="hi"))).content_state == "captured"


def test_masked_values_of_openinference_are_absent() -> None:
    fragment = read(
        {
            "openinference.span.kind": "LLM",
            "input.value": "__REDACTED__",
            "llm.input_messages.0.message.content": "__REDACTED__",
        }
    )
    assert call_of(fragment).content_state == "not_captured"
