"""Vercel AI SDK 3 to 6, and 7 with its legacy integration: scope ``ai``, keys ``ai.*``.

Each call shows as an outer span (``ai.generateText``) around the steps of the model
(``ai.generateText.doGenerate``) and of tools (``ai.toolCall``). The outer one repeats prompt and
summed usage: it is the agent, as the SDK's version 7 calls it itself; of embeddings it repeats the
very call. Anthropic's input leaves out cached tokens until version 6, which tells them in details.
"""

from typing import Any

from processors.operations.attributes import (
    SpanView,
    json_text,
    mapping,
    structured,
    unquoted,
)
from processors.operations.bodies import body_parameters
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    request_parameters,
    tool_messages,
)
from processors.operations.messages import (
    fold_finish_reason,
    read_messages,
    read_parts,
    read_system,
    read_tools,
    text_part,
)
from processors.operations.usage import Counts, read_counts
from schemas.records import Message, Part

KEYS: Keys = extended(
    otel_genai.KEYS,
    {
        "provider": ("ai.model.provider",),
        "request_model": ("ai.model.id",),
        "response_model": ("ai.response.model",),
        "response_id": ("ai.response.id",),
        "conversation_id": (
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
            "ai.telemetry.metadata.conversationId",
            "ai.telemetry.metadata.threadId",
            "ai.telemetry.metadata.chatId",
        ),
        "user_id": ("ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id"),
        "tool_name": ("ai.toolCall.name",),
        "tags": ("ai.telemetry.metadata.tags",),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total_tokens": ("ai.usage.totalTokens",),
        "cache_read_tokens": (
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ),
        "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": (
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ),
        "finish_reasons": ("ai.response.finishReason",),
        "time_to_first_token_ms": ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
        "first_token_events": ("ai.stream.firstChunk",),
    },
)

_STEP_KINDS = {"doEmbed": "embeddings", "doRerank": "rerank"}
_OUTER_KINDS = {"ai.embed": "embeddings", "ai.embedMany": "embeddings", "ai.rerank": "rerank",
                "ai.toolCall": "execute_tool"}  # fmt: skip


def read(span: SpanView) -> Reading:
    """Content by operation: a model's step, an outer span, a tool."""
    operation = span.text("ai.operationId")
    step = operation.rpartition(".")[2]
    is_step = step.startswith("do")
    kind = _STEP_KINDS.get(step, "chat") if is_step else _OUTER_KINDS.get(operation, "invoke_agent")
    reading = Reading(
        kind=kind,
        parameters=_parameters(span),
        counts=_provider_counts(span),
        wraps=kind in ("embeddings", "rerank") and not is_step,
    )
    if kind == "execute_tool":
        reading.input, reading.output = tool_messages(
            span.text("ai.toolCall.name"),
            span.text("ai.toolCall.id"),
            json_text(span.get("ai.toolCall.args", "ai.toolCall.input")),
            json_text(span.get("ai.toolCall.result", "ai.toolCall.output")),
        )
    elif kind in ("embeddings", "rerank"):
        values = span.get("ai.values", "ai.value", "ai.documents")
        listed = values if isinstance(values, list) else [values] if values else []
        texts = (json_text(unquoted(value)) for value in listed)
        reading.input = tuple(
            Message(role="user", parts=(text_part(text),)) for text in texts if text
        )
    else:
        _read_prompt(span, reading)
        reading.output = _answer(span)
        reading.tools = read_tools(span.json("ai.prompt.tools"))
    if kind == "invoke_agent":
        reading.hints["agent_name"] = span.text("ai.telemetry.functionId")
    return reading


def _parameters(span: SpanView) -> dict[str, str]:
    prefix = "ai.settings."
    settings = {
        key[len(prefix) :]: span.get(key) for key in span.attributes if key.startswith(prefix)
    }
    streams = {"stream": "true"} if "stream" in span.text("ai.operationId").lower() else {}
    said = request_parameters(span)
    return {**streams, **body_parameters(settings), **said}


def _provider_counts(span: SpanView) -> Counts:
    """Cached and reasoning tokens that only the provider's own metadata tells (version 4)."""
    found = Counts({})
    for about in mapping(span.get("ai.response.providerMetadata")).values():
        found.values |= read_counts(about).values
    is_anthropic = "anthropic" in span.text("ai.model.provider").lower()
    has_details = span.has_prefix("ai.usage.inputTokenDetails.")
    found.excludes_cache = is_anthropic and not has_details
    return found


def _read_prompt(span: SpanView, reading: Reading) -> None:
    """``ai.prompt.messages`` of a step, ``ai.prompt`` of an outer span."""
    messages = span.json("ai.prompt.messages")
    if messages is not None:
        reading.input = read_messages(messages, "user")
        return
    prompt = unquoted(span.get("ai.prompt"))
    if not isinstance(prompt, dict):
        reading.input = read_messages(prompt, "user")
        return
    reading.system = read_system(prompt.get("system"))
    said = prompt.get("messages") or prompt.get("prompt")
    reading.input = read_messages(said, "user")


def _answer(span: SpanView) -> tuple[Message, ...]:
    parts: list[Part] = []
    if reasoning := json_text(span.get("ai.response.reasoning")):
        parts.append(Part(type="reasoning", text=reasoning))
    parts += read_parts(json_text(span.get("ai.response.text")))
    parts += read_parts(json_text(span.get("ai.response.object")))
    calls: Any = structured(span.json("ai.response.toolCalls"))
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            parts += read_parts([{**call, "type": "tool_call"}])
    if not parts:
        return ()
    reason = span.text("ai.response.finishReason")
    return (
        Message(role="assistant", parts=tuple(parts), finish_reason=fold_finish_reason(reason)),
    )


DIALECT = Dialect(
    name="vercel_ai_legacy",
    checked_against="ai 4.3.19, 5.0.277",
    signals=Signals(keys=("ai.operationId",)),
    keys=KEYS,
    read=read,
)
