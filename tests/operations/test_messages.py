"""Messages of every shape that emitters really send."""

import json
from typing import Any

import pytest

from schemas.encoding import decode_batch, encode_batch
from schemas.records import Fragment, Message, Part
from schemas.records import encode_record as encode
from tests.operations.spans import call_of, chat, messages, read, texts

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
    ],
)  # fmt: skip
def test_blocks_of_every_shape(block: dict[str, Any], part: Part) -> None:
    fragment = read(chat(input__messages=messages({"role": "user", "parts": [block]})))
    assert fragment.content.input[0].parts == (part,)


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
