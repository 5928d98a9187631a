"""OpenTelemetry GenAI semantic conventions, 1.26 to 1.41 and the unreleased genai repository.

From 1.37 content is in message attributes; 1.28 to 1.36 put it in log records (``log_events.py``);
1.26 and 1.27, Azure's inference client and others put it in span events. Emitters that write these
keys their own way build on this file.
"""

from typing import Any

from processors.operations.attributes import Event, SpanView, json_text, structured
from processors.operations.dialects.reading import (
    REFERENCE,
    Dialect,
    Keys,
    Reading,
    Signals,
    fold_kind,
    request_parameters,
    tool_messages,
)
from processors.operations.messages import (
    plain_result,
    read_documents,
    read_message,
    read_messages,
    read_system,
    read_tools,
)
from schemas.records import Message, Part

KEYS: Keys = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "request_model": ("gen_ai.request.model",),
    "response_model": ("gen_ai.response.model",),
    "response_id": ("gen_ai.response.id",),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "user_id": ("user.id", "enduser.id", "gen_ai.user", "gen_ai.request.user"),
    "agent_name": ("gen_ai.agent.name", "gen_ai.workflow.name"),
    "tool_name": ("gen_ai.tool.name",),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "cache_write_5m_tokens": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.details.thoughts_tokens",
        "llm.usage.reasoning_tokens",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "input_audio_tokens": (
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.input_audio_tokens",
        "gen_ai.usage.details.input_audio_tokens",
    ),
    "cached_audio_tokens": ("gen_ai.usage.audio.cache_read.input_tokens",),
    "output_audio_tokens": (
        "gen_ai.usage.audio.output_tokens",
        "gen_ai.usage.output_audio_tokens",
        "gen_ai.usage.details.output_audio_tokens",
    ),
    "finish_reasons": (
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "anthropic.message.stop_reason",
    ),
    "reported_cost_usd": ("gen_ai.usage.cost", "gen_ai.cost.total_cost", "operation.cost"),
    "time_to_first_token_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
    ),
}

_REFERENCES = {
    "system": "gen_ai.system_instructions_ref",
    "input": "gen_ai.input.messages_ref",
    "output": "gen_ai.output.messages_ref",
}
"""Where content is that was uploaded elsewhere, by the side that it stands for."""

MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}

CHOICE_EVENT = "gen_ai.choice"
DETAILS_EVENT = "gen_ai.client.inference.operation.details"
_EVENT_MEMBERS = ("role", "id", "name", "content", "message", "tool_calls", "finish_reason")

# These instrument the Anthropic client, which since its version 2 emits a span of its own below
# theirs, with the same usage and mostly no content.
WRAPPING_SCOPES = (
    "opentelemetry.instrumentation.genai.anthropic",
    "opentelemetry.instrumentation.anthropic",
    "openinference.instrumentation.anthropic",
)


def read_kind(span: SpanView) -> str:
    """The operation name; where none is said, the kind that the span's other keys tell."""
    said = fold_kind(span.text("gen_ai.operation.name"))
    if said:
        return said
    if span.get("gen_ai.tool.name", "gen_ai.tool.call.arguments") is not None:
        return "execute_tool"
    if span.get("gen_ai.retrieval.documents", "gen_ai.retrieval.query.text") is not None:
        return "retrieval"
    return "chat" if span.get("gen_ai.request.model", "gen_ai.response.model") else "chain"


def read(span: SpanView) -> Reading:
    """Content by the kind of operation, of attributes before events."""
    reading = read_attributes(span)
    if not reading.input and not reading.output:
        _read_events(span, reading)
    read_references(span, reading)
    return reading


def read_attributes(span: SpanView) -> Reading:
    """What the span's attributes tell, by the kind of operation."""
    reading = Reading(
        kind=read_kind(span),
        parameters=request_parameters(span),
        wraps=span.scope_name in WRAPPING_SCOPES,
    )
    read_message_attributes(span, reading)
    if reading.kind == "execute_tool":
        read_tool(span, reading)
    elif reading.kind == "retrieval":
        _read_retrieval(span, reading)
    return reading


def read_references(span: SpanView, reading: Reading) -> None:
    """Sides that were uploaded elsewhere: a part with the address stands for each."""
    for side, key in _REFERENCES.items():
        address = span.text(key) if key in span.attributes else ""
        if not address or getattr(reading, side):
            continue
        reading.content_is_external = True
        part = Part(type="other", name=REFERENCE, uri=address)
        if side == "system":
            reading.system = (part,)
        else:
            role = "user" if side == "input" else "assistant"
            setattr(reading, side, (Message(role=role, parts=(part,)),))


def read_message_attributes(span: SpanView, reading: Reading) -> None:
    """Message attributes of 1.37 and later."""
    reading.input = read_messages(span.json("gen_ai.input.messages"), "user")
    reading.output = read_messages(span.json("gen_ai.output.messages"), "assistant")
    reading.system = read_system(span.json("gen_ai.system_instructions"))
    reading.tools = read_tools(span.json("gen_ai.tool.definitions"))


def read_tool(span: SpanView, reading: Reading) -> None:
    """Call and result of a tool's own span."""
    arguments, result = tool_messages(
        span.text("gen_ai.tool.name"),
        span.text("gen_ai.tool.call.id"),
        json_text(span.get("gen_ai.tool.call.arguments")),
        plain_result(span.get("gen_ai.tool.call.result")),
    )
    reading.input, reading.output = arguments or reading.input, result or reading.output


def _read_retrieval(span: SpanView, reading: Reading) -> None:
    query = span.get("gen_ai.retrieval.query.text")
    reading.input = read_messages(query, "user") or reading.input
    reading.documents = read_documents(span.get("gen_ai.retrieval.documents"))


def _read_events(span: SpanView, reading: Reading) -> None:
    """Content in span events, or in the attributes that 1.26 and 1.27 named alike."""
    if not span.span.events and span.get("gen_ai.prompt", "gen_ai.completion") is None:
        return
    prompts = [e.attributes.get("gen_ai.prompt") for e in span.events("gen_ai.content.prompt")]
    answers = [
        e.attributes.get("gen_ai.completion") for e in span.events("gen_ai.content.completion")
    ]
    reading.input = _all_messages([*prompts, span.get("gen_ai.prompt")], "user")
    reading.output = _all_messages([*answers, span.get("gen_ai.completion")], "assistant")
    read_details(span, reading)
    if reading.kind == "execute_tool" or span.events(DETAILS_EVENT):
        return
    for event in span.events(*MESSAGE_EVENTS, CHOICE_EVENT):
        message = _event_message(event)
        if message is None:
            continue
        if event.name == CHOICE_EVENT:
            reading.output += (message,)
        else:
            reading.input += (message,)


def read_details(span: SpanView, reading: Reading) -> None:
    """Sides that only the event of a whole call has, as a span event."""
    for event in span.events(DETAILS_EVENT):
        said = event.attributes
        asked = read_messages(said.get("gen_ai.input.messages"), "user")
        answered = read_messages(said.get("gen_ai.output.messages"), "assistant")
        reading.input = reading.input or asked
        reading.output = reading.output or answered
        reading.system = reading.system or read_system(said.get("gen_ai.system_instructions"))
        reading.tools = reading.tools or read_tools(said.get("gen_ai.tool.definitions"))


def _event_message(event: Event) -> Message | None:
    """The message of an event: whole in one attribute (Azure), or its members one by one."""
    said = event.attributes
    role = MESSAGE_EVENTS.get(event.name, "assistant")
    whole = structured(said.get("gen_ai.event.content"))
    if whole is None:
        whole = structured(said.get("message"))
    if isinstance(whole, dict):
        return read_message({"finish_reason": said.get("finish_reason"), **whole}, role)
    if whole is not None:
        return read_message({**said, "content": whole}, role)
    members = {name: said[name] for name in _EVENT_MEMBERS if said.get(name) not in (None, "")}
    if "message" in members:
        members.setdefault("content", members.pop("message"))
    for name in ("content", "tool_calls"):
        if (found := structured(members.get(name))) is not None:
            members[name] = found
    told = members.keys() & {"content", "tool_calls"}
    return read_message(members, role) if told else None


def _all_messages(values: list[Any], role: str) -> tuple[Message, ...]:
    return tuple(message for value in values for message in read_messages(value, role))


DIALECT = Dialect(
    name="otel_genai",
    checked_against="semantic-conventions 1.26 to 1.41 and genai 2026-11; contrib 2.4b0, 1.3b0",
    signals=Signals(keys=("gen_ai.provider.name", "gen_ai.system", "gen_ai.operation.name")),
    keys=KEYS,
    read=read,
    logs_content=True,
)
