"""Google ADK 1 and 2, scope ``gcp.vertex.agent``.

Version 1 names its spans ``invocation``, ``agent_run``, ``call_llm`` and holds request and answer
as JSON of Gemini's types; version 2 writes the conventions, with content in the details log record
(which alone has the user). Output counts thoughts beside the answer.
"""

from processors.operations.attributes import SpanView, json_text
from processors.operations.bodies import read_request, read_response
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

_PREFIX = "gcp.vertex.agent."

KEYS: Keys = extended(
    otel_genai.KEYS,
    {"conversation_id": (f"{_PREFIX}session_id",)},
)

_SPAN_KINDS = {
    "call_llm": "generate_content",
    "agent_run": "invoke_agent",
    "invocation": "invoke_workflow",
    "execute_tool": "execute_tool",
}
"""Kinds by the first word of a span's name, where it has no operation name."""


def read(span: SpanView) -> Reading:
    """The conventions' reading, then version 1's own keys."""
    reading = otel_genai.read(span)
    first, _, rest = span.name.partition(" ")
    if span.get("gen_ai.operation.name") is None:
        reading.kind = _SPAN_KINDS.get(first, "chain")
    if reading.kind == "invoke_agent" and rest:
        reading.hints["agent_name"] = rest.strip("[]")
    elif reading.kind == "execute_tool":
        _read_tool(span, reading, rest)
    elif reading.kind == "generate_content":
        _read_call(span, reading)
    return reading


def _read_tool(span: SpanView, reading: Reading, name: str) -> None:
    reading.hints["tool_name"] = name
    if reading.input or reading.output:
        return
    reading.input, reading.output = tool_messages(
        span.text("gen_ai.tool.name") or name,
        span.text("gen_ai.tool.call.id"),
        json_text(span.get(f"{_PREFIX}tool_call_args")),
        json_text(span.get(f"{_PREFIX}tool_response")),
    )


def _read_call(span: SpanView, reading: Reading) -> None:
    request = read_request(json_field(span, f"{_PREFIX}llm_request"))
    response = read_response(json_field(span, f"{_PREFIX}llm_response"))
    reading.system = reading.system or request.system
    reading.input = reading.input or request.messages
    reading.output = reading.output or tuple(m for m in response.messages if m.parts)
    reading.tools = reading.tools or request.tools
    reading.parameters = {**request.parameters, **reading.parameters}
    reading.hints |= {
        "request_model": request.model,
        "response_model": response.model,
        "response_id": response.id,
    }
    reading.counts = response.counts
    if not span.get(*KEYS["finish_reasons"]):
        reading.finish_reasons = response.finish_reasons


DIALECT = Dialect(
    name="google_adk",
    checked_against="google-adk 1.14.1, 2.13.0",
    signals=Signals(scopes=("gcp.vertex.agent",), keys=("gcp.vertex.agent.",)),
    keys=KEYS,
    read=read,
    logs_content=True,
)
