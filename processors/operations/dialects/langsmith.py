"""LangSmith, scope ``langsmith``: runs by kind, with LangChain's serialised inputs and outputs.

The operation name is coarse (a prompt says ``chat``, a retriever ``embeddings``): the run's kind
decides. Usage details are in metadata as JSON, elsewhere as Python literals.
"""

from typing import Any

from processors.operations.attributes import SpanView, json_text, mapping, unquoted
from processors.operations.bodies import body_parameters, read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    fold_kind,
    json_field,
    request_parameters,
    tool_messages,
)
from processors.operations.messages import read_documents, read_tools
from processors.operations.usage import read_counts

_METADATA = "langsmith.metadata."

KEYS: Keys = extended(
    otel_genai.KEYS,
    {
        "provider": (f"{_METADATA}ls_provider",),
        "request_model": (f"{_METADATA}ls_model_name", f"{_METADATA}model_name"),
        "conversation_id": (
            f"{_METADATA}session_id",
            f"{_METADATA}thread_id",
            f"{_METADATA}conversation_id",
        ),
        "user_id": (f"{_METADATA}user_id",),
        "tags": ("langsmith.span.tags",),
    },
)

_SETTINGS = {
    "temperature": "ls_temperature",
    "max_tokens": "ls_max_tokens",
    "stop_sequences": "ls_stop",
    "stream": "stream",
}


def read(span: SpanView) -> Reading:
    """Content by the run's kind."""
    said = span.text("langsmith.span.kind")
    reading = Reading(kind=fold_kind(said) if said else otel_genai.read_kind(span))
    given, returned = span.get("gen_ai.prompt"), span.get("gen_ai.completion")
    reading.tools = read_tools(span.get("gen_ai.tool.definitions"))
    if reading.kind == "execute_tool":
        reading.input, reading.output = tool_messages(
            span.text("gen_ai.tool.name", "gen_ai.serialized.name") or span.name,
            span.text("gen_ai.tool.call.id"),
            json_text(given),
            json_text(_result(returned)),
        )
        reading.hints["tool_name"] = span.name
        return reading
    if reading.kind == "retrieval":
        reading.input = read_request(given).messages
        found = unquoted(returned)
        listed = mapping(found).get("documents", mapping(found).get("output", found))
        reading.documents = read_documents(listed)
        return reading
    request, response = read_request(given), read_response(_unwrapped(returned))
    reading.system, reading.input = request.system, request.messages
    reading.output = response.messages
    reading.tools = reading.tools or request.tools
    if reading.kind in ("chat", "text_completion"):
        settings = {name: span.get(_METADATA + key) for name, key in _SETTINGS.items()}
        reading.parameters = {
            **body_parameters(settings),
            **request.parameters,
            **request_parameters(span),
        }
        reading.hints["response_model"] = response.model
        reading.hints["response_id"] = response.id
        reading.finish_reasons = response.finish_reasons
        reading.counts = response.counts
        for key in (f"{_METADATA}usage_metadata", "gen_ai.usage"):
            reading.counts.values |= read_counts(span.get(key)).values
        details = {
            f"{side}_token_details": json_field(span, f"gen_ai.usage.{side}_token_details")
            for side in ("input", "output")
        }
        reading.counts.values |= read_counts(details).values
    return reading


def _unwrapped(value: Any) -> Any:
    """A chain's output alone."""
    found = unquoted(value)
    if isinstance(found, dict) and found.keys() == {"output"}:
        return found["output"]
    return found


def _result(value: Any) -> Any:
    """A tool's result, taken out of LangChain's message."""
    found = _unwrapped(value)
    if isinstance(found, dict) and "content" in found and found.get("type") == "tool":
        return found["content"]
    return found or None


DIALECT = Dialect(
    name="langsmith",
    checked_against="langsmith 0.15.0",
    signals=Signals(scopes=("langsmith",), keys=("langsmith.span.kind",)),
    keys=KEYS,
    read=read,
)
