"""Emitters that write ``gen_ai.*`` keys but have no file of their own yet.

They are read as OTel GenAI with the further aliases below, under their own name: ids, times,
service, model and usage are never lost, content is where they use the conventions for it. Give an
emitter a file of its own, and take its row from here, when its own content keys are to be read.
"""

from dataclasses import replace

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Dialect, Keys

_FURTHER: Keys = {
    "provider": ("llm.provider", "langsmith.metadata.ls_provider"),
    "request_model": ("ai.model.id", "langfuse.observation.model.name"),
    "response_model": ("ai.response.model",),
    "response_id": ("ai.response.id",),
    "conversation_id": (
        "langfuse.session.id",
        "ai.telemetry.metadata.sessionId",
        "langsmith.metadata.session_id",
        "langsmith.metadata.thread_id",
        "gcp.vertex.agent.session_id",
        "spring.ai.chat.client.conversation.id",
    ),
    "user_id": ("langfuse.user.id", "ai.telemetry.metadata.userId", "langsmith.metadata.user_id"),
    "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
    "cache_read_tokens": (
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ),
    "reasoning_tokens": (
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ),
    "finish_reasons": ("ai.response.finishReason",),
}

KEYS: Keys = {name: keys + _FURTHER.get(name, ()) for name, keys in otel_genai.KEYS.items()}

# Name, scope names and attribute keys; one that ends in "." is a prefix.
_BEFORE = (
    ("langfuse", ("langfuse-sdk",), ("langfuse.observation.",)),
    ("langsmith", ("langsmith",), ("langsmith.span.kind",)),
    ("mlflow", (), ("mlflow.spanType", "mlflow.spanInputs")),
    ("vercel_ai_legacy", (), ("ai.operationId",)),
    ("vercel_ai", ("gen_ai",), ()),
    ("pydantic_ai", ("pydantic-ai",), ("logfire.json_schema", "logfire.msg")),
    ("google_adk", ("gcp.vertex.agent",), ("gcp.vertex.agent.",)),
    ("strands", ("strands.telemetry.tracer",), ()),
    ("litellm", ("litellm",), ("litellm.call_id",)),
)
_AFTER = (
    ("openlit", ("openlit.",), ()),
    ("agent_framework", ("agent_framework",), ()),
    ("semantic_kernel", ("semantic_kernel.",), ()),
    ("azure_ai_inference", ("azure.core.tracing.ext.opentelemetry_span",), ()),
    ("spring_ai", (), ("spring.ai.kind",)),
    ("anthropic_sdk", ("com.anthropic.sdk.python",), ()),
    ("mcp", (), ("mcp.method.name",)),
)
_LOGGING = frozenset({"agent_framework", "google_adk", "openlit", "pydantic_ai", "semantic_kernel"})
"""Emitters that may put content into log records."""


def has_genai_key(span: SpanView) -> bool:
    """Whether any attribute is of the GenAI conventions."""
    return span.has_prefix("gen_ai.")


def _emitter(name: str, scopes: tuple[str, ...], signals: tuple[str, ...]) -> Dialect:
    exact = frozenset(signals)
    prefixes = tuple(signal for signal in signals if signal.endswith("."))
    scope_prefixes = tuple(scope for scope in scopes if scope.endswith("."))

    def recognises(span: SpanView) -> bool:
        signalled = (
            span.scope_name in scopes
            or span.scope_name.startswith(scope_prefixes)
            or not exact.isdisjoint(span.keys)
            or bool(prefixes and span.has_prefix(*prefixes))
        )
        return signalled and has_genai_key(span)

    return replace(OTHER, name=name, recognises=recognises, logs_content=name in _LOGGING)


OTHER = Dialect(
    name="other",
    checked_against="gen_ai.* keys only",
    keys=KEYS,
    recognises=has_genai_key,
    read=otel_genai.read,
)
BEFORE_OPENLLMETRY = tuple(_emitter(*row) for row in _BEFORE)
AFTER_OPENLLMETRY = tuple(_emitter(*row) for row in _AFTER)
