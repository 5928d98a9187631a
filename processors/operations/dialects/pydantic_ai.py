"""Pydantic AI, instrumentation versions 1 to 6, scope ``pydantic-ai``.

Version 1 holds messages as events in one attribute (``events``, on the agent
``all_messages_events``) or logs them; later ones use the conventions' messages and, on the agent,
``pydantic_ai.all_messages``. Tools and agents have keys of their own. The agent repeats its calls'
usage, from SDK version 2 under ``gen_ai.aggregated_usage``.
"""

from typing import Any

from processors.operations.attributes import SpanView, json_text, structured
from processors.operations.bodies import body_parameters
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    json_field,
    tool_messages,
)
from processors.operations.messages import read_messages, read_tools, text_part
from schemas.records import Message

KEYS: Keys = extended(
    otel_genai.KEYS,
    {"request_model": ("model_name",), "agent_name": ("agent_name",)},
)

_ANSWERS = ("gen_ai.choice",)


def accepts(span: SpanView) -> bool:
    """Spans of agents, models and tools; not what an application logs in the same scope."""
    return (
        span.has_prefix("gen_ai.")
        or span.get("agent_name", "model_name", "all_messages_events", "tools") is not None
    )


def read(span: SpanView) -> Reading:
    """Content by the span's own keys, then by the conventions."""
    reading = otel_genai.read(span)
    if "agent_name" in span.attributes and span.get("gen_ai.operation.name") is None:
        reading.kind = "invoke_agent"
    if reading.kind == "execute_tool" and not (reading.input or reading.output):
        reading.input, reading.output = tool_messages(
            span.text("gen_ai.tool.name"),
            span.text("gen_ai.tool.call.id"),
            json_text(span.get("tool_arguments")),
            json_text(span.get("tool_response")),
        )
    elif reading.kind == "invoke_agent" and not (reading.input or reading.output):
        _read_agent(span, reading)
    elif not reading.input and not reading.output:
        reading.input, reading.output = _events(span.json("events"))
    _read_request(span, reading)
    return reading


def _read_agent(span: SpanView, reading: Reading) -> None:
    """All messages of a run; the last one, if the model's, is its result."""
    said = read_messages(span.json("pydantic_ai.all_messages"), "user")
    if not said:
        asked, answered = _events(span.json("all_messages_events"))
        said = asked + answered
    if said and said[-1].role == "assistant":
        reading.input, reading.output = said[:-1], said[-1:]
        return
    reading.input = said
    if result := json_text(span.get("final_result")):
        reading.output = (Message(role="assistant", parts=(text_part(result),)),)


def _events(value: Any) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Input and output of a list of the conventions' older events."""
    asked: list[Message] = []
    answered: list[Message] = []
    found = structured(value)
    for event in found if isinstance(found, list) else []:
        if not isinstance(event, dict):
            continue
        name = event.get("event.name")
        role = otel_genai.MESSAGE_EVENTS.get(name, "assistant") if isinstance(name, str) else "user"
        said = {key: item for key, item in event.items() if key != "event.name"}
        if name == "gen_ai.tool.message":
            said = {"role": "tool", **said}
        (answered if name in _ANSWERS else asked).extend(read_messages([said], role))
    return tuple(asked), tuple(answered)


def _read_request(span: SpanView, reading: Reading) -> None:
    """Tool definitions and settings of ``model_request_parameters``."""
    request = json_field(span, "model_request_parameters")
    if not reading.tools:
        for name in ("function_tools", "output_tools"):
            reading.tools += read_tools(request.get(name))
    reading.parameters = {**body_parameters(json_field(span, "model_settings")),
                          **reading.parameters}  # fmt: skip


DIALECT = Dialect(
    name="pydantic_ai",
    checked_against="pydantic-ai 0.8.1, 2.68.0 (instrumentation 1, 2, 5)",
    signals=Signals(scopes=("pydantic-ai",)),
    keys=KEYS,
    read=read,
    accepts=accepts,
    logs_content=True,
)
