"""Langfuse SDK, scope ``langfuse-sdk``, keys ``langfuse.*``: observations of a type.

Input and output are text or JSON of any shape, usage and cost free mappings, metadata values JSON
each. Without a total, usage of OpenAI's shape includes cached tokens.
"""

from datetime import UTC, datetime
from decimal import Decimal

from processors.operations.attributes import SpanView, as_decimal, as_text, json_text, unquoted
from processors.operations.bodies import body_parameters, read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    SECOND_NS,
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    fold_kind,
    json_field,
    tool_messages,
)
from processors.operations.messages import fold_finish_reason, read_documents
from processors.operations.usage import read_counts

_OBSERVATION = "langfuse.observation."

KEYS: Keys = extended(
    otel_genai.KEYS,
    {
        "request_model": (f"{_OBSERVATION}model.name",),
        "conversation_id": ("langfuse.session.id",),
        "user_id": ("langfuse.user.id",),
        "prompt_name": (f"{_OBSERVATION}prompt.name",),
        "prompt_version": (f"{_OBSERVATION}prompt.version",),
        "tags": ("langfuse.trace.tags",),
    },
)

_METADATA = {
    "conversation_id": ("langfuse_session_id", "session_id"),
    "user_id": ("langfuse_user_id", "user_id"),
}


def read(span: SpanView) -> Reading:
    """Content by the observation's type."""
    said = span.text(f"{_OBSERVATION}type").lower()
    reading = Reading(
        kind=fold_kind(said) if said else otel_genai.read_kind(span),
        parameters=body_parameters(json_field(span, f"{_OBSERVATION}model.parameters")),
        counts=read_counts(span.get(f"{_OBSERVATION}usage_details")),
        reported_cost_usd=_cost(span),
        failed=span.text(f"{_OBSERVATION}level") == "ERROR",
        time_to_first_token_ns=_first_token_ns(span),
    )
    for name, keys in _METADATA.items():
        value = span.get(*(f"{_OBSERVATION}metadata.{key}" for key in keys))
        reading.hints[name] = as_text(unquoted(value))
    if reason := unquoted(span.get(f"{_OBSERVATION}metadata.finish_reason")):
        reading.finish_reasons = (fold_finish_reason(reason),)
    given = span.get(f"{_OBSERVATION}input", "langfuse.trace.input")
    returned = span.get(f"{_OBSERVATION}output", "langfuse.trace.output")
    name = span.name
    if reading.kind == "execute_tool":
        reading.hints["tool_name"] = name
        reading.input, reading.output = tool_messages(
            name, "", json_text(given), json_text(returned)
        )
        return reading
    request, response = read_request(given), read_response(returned)
    reading.system, reading.input, reading.tools = request.system, request.messages, request.tools
    if reading.kind == "retrieval":
        reading.documents = read_documents(returned)
    if not reading.documents:
        reading.output = response.messages
    if reading.kind == "invoke_agent":
        reading.hints["agent_name"] = name
    if not (reading.input or reading.output):
        otel_genai.read_message_attributes(span, reading)
    return reading


def _cost(span: SpanView) -> str | None:
    """The total, or the sum of the parts."""
    costs = json_field(span, f"{_OBSERVATION}cost_details")
    if (total := as_decimal(costs.get("total"))) is not None:
        return str(total)
    parts = [amount for value in costs.values() if (amount := as_decimal(value)) is not None]
    return str(sum(parts, Decimal())) if parts else None


def _first_token_ns(span: SpanView) -> int | None:
    said = as_text(unquoted(span.get(f"{_OBSERVATION}completion_start_time")))
    try:
        first = datetime.fromisoformat(said)
    except ValueError:
        return None
    since = first.replace(tzinfo=first.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    first_ns = (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1000
    return first_ns - span.start_ns if first_ns >= span.start_ns else None


DIALECT = Dialect(
    name="langfuse",
    checked_against="langfuse 5.0.4",
    signals=Signals(scopes=("langfuse-sdk",), keys=("langfuse.observation.",)),
    keys=KEYS,
    read=read,
)
