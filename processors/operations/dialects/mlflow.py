"""MLflow tracing: every value is JSON text, strings too, in keys ``mlflow.*``.

Inputs and outputs are the client's own request and answer. With its GenAI switch MLflow writes the
conventions' keys instead, which ``otel_genai.py`` reads. Streams have an event for each chunk.
"""

from typing import Any

from processors.operations.attributes import SpanView, as_text, json_text, unquoted
from processors.operations.bodies import body_parameters, read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    fold_kind,
    tool_messages,
)
from processors.operations.messages import read_documents, read_tools
from processors.operations.usage import read_counts

KEYS: Keys = extended(
    otel_genai.KEYS,
    {
        "first_token_events": ("mlflow.chunk.item.0",),
    },
)

# Their values are JSON texts, so they cannot be in the alias table.
_HINTS = {
    "provider": ("mlflow.llm.provider",),
    "request_model": ("model", "mlflow.llm.model"),
    "response_model": ("mlflow.llm.model",),
    "conversation_id": ("mlflow.trace.session",),
    "user_id": ("mlflow.trace.user",),
}


def read(span: SpanView) -> Reading:
    """Content by the span's type."""
    said = as_text(_value(span, "mlflow.spanType"))
    kind = "chain" if said in ("", "UNKNOWN") else fold_kind(said)
    reading = Reading(kind=otel_genai.read_kind(span) if "gen_ai.operation.name" in span.attributes
                      else kind)  # fmt: skip
    for name, keys in _HINTS.items():
        reading.hints[name] = next((text for k in keys if (text := as_text(_value(span, k)))), "")
    given, returned = _value(span, "mlflow.spanInputs"), _value(span, "mlflow.spanOutputs")
    name = span.name
    if reading.kind == "execute_tool":
        reading.hints["tool_name"] = name
        reading.input, reading.output = tool_messages(
            name, "", json_text(given), json_text(returned)
        )
        return reading
    request, response = read_request(given), read_response(returned)
    reading.system, reading.input = request.system, request.messages
    reading.output = response.messages
    reading.tools = read_tools(_value(span, "mlflow.chat.tools")) or request.tools
    if reading.kind in ("retrieval", "rerank"):
        reading.documents = read_documents(returned)
        reading.output = () if reading.documents else reading.output
    elif reading.kind == "invoke_agent":
        reading.hints["agent_name"] = name
    elif reading.kind != "chain":
        loose = {key: _value(span, key) for key in ("temperature", "max_tokens", "top_p", "stream")}
        reading.parameters = {**body_parameters(loose), **request.parameters}
        reading.hints["request_model"] = request.model or reading.hints["request_model"]
        reading.hints["response_model"] = response.model or reading.hints["response_model"]
        reading.hints["response_id"] = response.id
        reading.finish_reasons = response.finish_reasons
        reading.counts = response.counts
        reading.counts.values |= read_counts(_value(span, "mlflow.chat.tokenUsage")).values
        reading.reported_cost_usd = _cost(span)
    return reading


def _value(span: SpanView, key: str) -> Any:
    """The value of an attribute out of its JSON."""
    return unquoted(span.json(key))


def _cost(span: SpanView) -> Any:
    cost = _value(span, "mlflow.llm.cost")
    return cost.get("total_cost", cost.get("total")) if isinstance(cost, dict) else cost


DIALECT = Dialect(
    name="mlflow",
    checked_against="mlflow-tracing 3.17.2",
    signals=Signals(keys=("mlflow.spanType", "mlflow.spanInputs")),
    keys=KEYS,
    read=read,
)
