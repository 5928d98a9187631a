"""Strands Agents, scope ``strands.telemetry.tracer``: content in span events, two generations.

By default one event a message (``gen_ai.user.message``, ``gen_ai.choice``, ...) with Bedrock's
blocks as JSON; with the latest conventions opted in three ``...operation.details`` events. The
provider is the framework's name: the model tells. Time to first token is in milliseconds.
"""

from typing import Any

from processors.operations.attributes import SpanView, json_text
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
)
from processors.operations.messages import (
    fold_finish_reason,
    read_messages,
    read_parts,
    read_system,
)
from schemas.records import Message

KEYS: Keys = extended(
    {**otel_genai.KEYS, "time_to_first_token_s": otel_genai.KEYS["time_to_first_token_s"][:2]},
    {"time_to_first_token_ms": ("gen_ai.server.time_to_first_token",), "tags": ("tags",)},
)

_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"


def read(span: SpanView) -> Reading:
    """The conventions' reading, then what the events tell."""
    reading = otel_genai.read(span)
    if reading.kind == "execute_tool" and reading.input and reading.output:
        return reading
    details = span.events(_DETAILS)
    for event in details:
        said = event.attributes
        asked = read_messages(said.get("gen_ai.input.messages"), "user")
        answered = read_messages(said.get("gen_ai.output.messages"), "assistant")
        reading.input = reading.input or asked
        reading.output = reading.output or answered
        reading.system = reading.system or read_system(said.get("gen_ai.system_instructions"))
    if not details:
        _read_messages(span, reading)
    return reading


def _read_messages(span: SpanView, reading: Reading) -> None:
    """One event a message; an agent's or tool's answer is a choice too."""
    asked: list[Message] = []
    answered: list[Message] = []
    for event in span.events(*otel_genai.MESSAGE_EVENTS, _CHOICE):
        said = event.attributes
        is_choice = event.name == _CHOICE
        role = "assistant" if is_choice else otel_genai.MESSAGE_EVENTS[event.name]
        value = said.get("message", said.get("content")) if is_choice else said.get("content")
        message = _message(value, role, said, reading.kind)
        if is_choice:
            answered.append(message)
        else:
            asked.append(message)
        results = said.get("tool.result")
        if is_choice and results:
            answered += read_messages(results, "tool")
    reading.input = reading.input or tuple(asked)
    reading.output = reading.output or tuple(answered)


def _message(value: Any, role: str, said: Any, kind: str) -> Message:
    if kind == "execute_tool":  # what was asked of the tool, and what it gave back
        block = {"id": said.get("id"), "name": said.get("name")}
        body = {"arguments": value} if role != "assistant" else {"result": value}
        block["type"] = "tool_call" if role != "assistant" else "tool_result"
        shown = "assistant" if role != "assistant" else "tool"
        return Message(role=shown, parts=tuple(read_parts([{**block, **body}])))
    read = read_messages(value, role)
    parts = tuple(part for message in read for part in message.parts)
    if not parts:
        parts = tuple(read_parts(json_text(value)))
    shown = "tool" if role == "tool" else read[0].role if read and read[0].role != "user" else role
    reason = fold_finish_reason(said.get("finish_reason"))
    return Message(role=shown, parts=parts, finish_reason=reason)


DIALECT = Dialect(
    name="strands",
    checked_against="strands-agents 1.62.0",
    signals=Signals(scopes=("strands.telemetry.tracer",)),
    keys=KEYS,
    read=read,
)
