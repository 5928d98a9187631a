"""Strands Agents, its scope or its name as the provider: content in span events, two generations.

By default one event a message (``gen_ai.user.message``, ``gen_ai.choice``, ...) with Bedrock's
blocks as JSON; with the latest conventions opted in three ``...operation.details`` events. The
provider is the framework's name: the model tells. Time to first token is in milliseconds.
"""

from collections.abc import Mapping
from typing import Any

from processors.operations.attributes import SpanView, json_text, structured
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    tool_messages,
)
from processors.operations.messages import (
    fold_finish_reason,
    plain_result,
    read_parts,
)
from schemas.records import Message

KEYS: Keys = extended(
    {**otel_genai.KEYS, "time_to_first_token_s": otel_genai.KEYS["time_to_first_token_s"][:2]},
    {"time_to_first_token_ms": ("gen_ai.server.time_to_first_token",), "tags": ("tags",)},
)

_SCOPE = "strands.telemetry.tracer"
_PROVIDER = "strands-agents"


def accepts(span: SpanView) -> bool:
    """Spans of its tracer, or whose provider has the framework's name."""
    named = (span.text("gen_ai.provider.name"), span.text("gen_ai.system"))
    return span.scope_name == _SCOPE or _PROVIDER in named


def read(span: SpanView) -> Reading:
    """The conventions' reading, then what the events tell."""
    reading = otel_genai.read_attributes(span)
    if reading.kind == "execute_tool" and reading.input and reading.output:
        return reading
    otel_genai.read_details(span, reading)
    if reading.kind == "execute_tool":
        _read_tool(span, reading)
    elif not span.events(otel_genai.DETAILS_EVENT):
        _read_messages(span, reading)
    return reading


def _read_messages(span: SpanView, reading: Reading) -> None:
    """One event a message; an agent's or tool's answer is a choice too."""
    asked: list[Message] = []
    answered: list[Message] = []
    for event in span.events(*otel_genai.MESSAGE_EVENTS, otel_genai.CHOICE_EVENT):
        said = event.attributes
        is_choice = event.name == otel_genai.CHOICE_EVENT
        role = "assistant" if is_choice else otel_genai.MESSAGE_EVENTS[event.name]
        value = said.get("message", said.get("content")) if is_choice else said.get("content")
        message = _message(value, role, said)
        if is_choice:
            answered.append(message)
        else:
            asked.append(message)
        if is_choice and "tool.result" in said:
            answered.append(_message(said["tool.result"], "tool", {}))
    reading.input = reading.input or tuple(asked)
    reading.output = reading.output or tuple(answered)


def _message(value: Any, role: str, said: Mapping[str, Any]) -> Message:
    """The blocks of one event, or its text."""
    blocks = structured(value)
    parts = tuple(read_parts(json_text(value) if blocks is None else blocks))
    reason = fold_finish_reason(said.get("finish_reason"))
    return Message(role=role, parts=parts, finish_reason=reason)


def _read_tool(span: SpanView, reading: Reading) -> None:
    """What was asked of the tool, and what it gave back."""
    asked = span.events("gen_ai.tool.message")
    answered = span.events(otel_genai.CHOICE_EVENT)
    given, returned = tool_messages(
        span.text("gen_ai.tool.name"),
        span.text("gen_ai.tool.call.id"),
        json_text(asked[0].attributes.get("content")) if asked else "",
        plain_result(answered[-1].attributes.get("message")) if answered else "",
    )
    reading.input, reading.output = reading.input or given, reading.output or returned


DIALECT = Dialect(
    name="strands",
    checked_against="strands-agents 1.62.0",
    signals=Signals(scopes=(_SCOPE,), keys=("gen_ai.provider.name", "gen_ai.system")),
    accepts=accepts,
    keys=KEYS,
    read=read,
)
