"""LiteLLM's OpenTelemetry callback, scope ``litellm``: one call as a request span and a raw one.

The request span has ids, usage and cost, but loses a reply that only calls tools; its child has the
provider's own request and answer as Python literals under ``llm.<provider>.<field>``. The child
points to its parent, which counts and gets the child's content where that is richer.
"""

from typing import Any

from processors.operations.attributes import SpanView, structured
from processors.operations.bodies import read_request, read_response
from processors.operations.dialects import openllmetry
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    fold_kind,
)
from processors.operations.messages import read_parts
from processors.operations.usage import read_counts
from schemas.records import Message

KEYS: Keys = extended(
    openllmetry.KEYS,
    {
        "conversation_id": ("metadata.session_id", "metadata.litellm_session_id"),
        "user_id": ("metadata.user_api_key_end_user_id", "metadata.user_api_key_user_id"),
        "tags": ("metadata.tags",),
    },
)

_RAW_NAME = "raw_gen_ai_request"
_ANSWERS = frozenset({"choices", "content", "output", "candidates"})
_RAW_FIELDS = (".messages", ".choices", ".content", ".input")


def _is_raw(span: SpanView) -> bool:
    if "litellm.call_id" in span.attributes or span.has_prefix("gen_ai."):
        return False
    return span.name == _RAW_NAME or any(
        key.startswith("llm.") and key.endswith(_RAW_FIELDS) for key in span.attributes
    )


def accepts(span: SpanView) -> bool:
    """Request spans and raw ones; not those of the proxy's own parts (auth, router, cache)."""
    return span.has_prefix("gen_ai.") or _is_raw(span)


def read(span: SpanView) -> Reading:
    """A request span, or the raw one below it."""
    if _is_raw(span):
        return _read_raw(span)
    reading = openllmetry.read(span)
    said = span.text("gen_ai.operation.name", "llm.request.type")
    # LiteLLM calls its chats "completion" after its own function.
    reading.kind = "chat" if said in ("", "completion", "acompletion") else fold_kind(said)
    reading.counts.values |= read_counts(span.get("metadata.usage_object")).values
    if not any(message.parts for message in reading.output):
        reading.output = _lost_calls(span, reading.output)
    return reading


def _lost_calls(span: SpanView, output: tuple[Message, ...]) -> tuple[Message, ...]:
    """Tool calls that the flattened completion holds and the messages have lost."""
    parts = [
        part
        for tree in span.indexed("gen_ai.completion.")
        if isinstance(call := tree.get("function_call"), dict)
        for part in read_parts([{**call, "type": "tool_call"}])
    ]
    if not parts:
        return output
    reason = output[0].finish_reason if output else ""
    return (Message(role="assistant", parts=tuple(parts), finish_reason=reason),)


def _read_raw(span: SpanView) -> Reading:
    body: dict[str, Any] = {}
    provider = ""
    for key in span.attributes:
        head, _, rest = key.partition(".")
        vendor, _, name = rest.partition(".")
        if head == "llm" and name:
            value = span.get(key)
            found = structured(value)
            body[name] = value if found is None else found
            provider = provider or vendor
    embeds = "input" in body and _ANSWERS.isdisjoint(body) and "messages" not in body
    reading = Reading(kind="embeddings" if embeds else "chat", duplicate_of=span.parent_span_id)
    request = read_request(body)
    response = read_response({k: v for k, v in body.items() if k not in ("messages", "input")})
    reading.system, reading.input, reading.tools = request.system, request.messages, request.tools
    reading.output = () if _ANSWERS.isdisjoint(body) else response.messages
    reading.parameters = request.parameters
    reading.scalars = {
        "provider": "" if provider == "None" else provider,
        "response_model": response.model,
        "response_id": response.id,
    }
    reading.counts = response.counts
    reading.finish_reasons = response.finish_reasons if reading.output else ()
    return reading


DIALECT = Dialect(
    name="litellm",
    checked_against="litellm 1.106.2",
    signals=Signals(scopes=("litellm",), keys=("litellm.call_id",)),
    keys=KEYS,
    accepts=accepts,
    read=read,
)
