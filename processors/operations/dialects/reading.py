"""What a dialect file provides, and the reading of scalar fields that all of them share.

To add a dialect: copy the smallest file beside this one, give it a :class:`Dialect` with its alias
table (field -> attribute keys, first present wins) and its content functions, add it to
``DIALECTS`` in ``registry.py`` at the place of its signal, and put a capture of it under tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from processors.operations.attributes import (
    INT64_MAX,
    SpanView,
    as_decimal,
    as_text,
    structured,
)
from processors.operations.messages import finish_reasons, split_system
from processors.operations.usage import read_usage
from schemas.records import Call, Content, ContentState, Document, Message, Part

Keys = dict[str, tuple[str, ...]]
"""Attribute keys by field, most trusted first."""

KINDS = {
    "completion": "text_completion", "embedding": "embeddings", "retriever": "retrieval",
    "vector_db_retrieve": "retrieval", "tool": "execute_tool", "agent": "invoke_agent",
    "workflow": "invoke_workflow", "execute_task": "chain", "agent_step": "chain",
    "execute_event_loop_cycle": "chain", "task": "chain", "parser": "chain", "prompt": "chain",
}  # fmt: skip
"""Operation names that are not the conventions', folded; ``chain`` is any other unit of work."""

PROVIDERS = {
    "vertex_ai": "gcp.vertex_ai", "vertexai": "gcp.vertex_ai", "gemini": "gcp.gemini",
    "google": "gcp.gen_ai", "az.ai.openai": "azure.ai.openai", "azure": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference", "xai": "x_ai", "aws": "aws.bedrock",
    "bedrock": "aws.bedrock", "mistralai": "mistral_ai", "openai.chat": "openai",
    "openai.responses": "openai", "anthropic.messages": "anthropic",
}  # fmt: skip
"""Providers by the names of older conventions and of other dialects."""

SCALARS = ("provider", "request_model", "response_model", "response_id", "conversation_id",
           "user_id", "agent_name", "tool_name", "prompt_name", "prompt_version")  # fmt: skip

PARAMETERS = ("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty",
              "presence_penalty", "seed", "stop_sequences", "choice.count", "stream",
              "encoding_formats", "reasoning.level")  # fmt: skip
"""Request parameters kept, by their name after ``gen_ai.request.``."""

_STATUSES: dict[int, str] = {1: "ok", 2: "error"}
SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Reading:
    """One span understood: scalars, content, and what it says about being counted."""

    kind: str
    scalars: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    system: tuple[Part, ...] = ()
    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    documents: tuple[Document, ...] = ()
    tools: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    content_is_external: bool = False
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of writing GenAI spans. ``recognises`` is asked only of spans no earlier dialect
    took; both functions must accept any span. ``logs_content`` says that its emitters may put
    content into log records instead."""

    name: str
    checked_against: str
    keys: Keys
    recognises: Callable[[SpanView], bool]
    read: Callable[[SpanView], Reading]
    logs_content: bool = False


def fold_kind(kind: str) -> str:
    """The operation name in the conventions' vocabulary."""
    kind = kind.lower()
    return KINDS.get(kind, kind)


def fold_provider(name: str) -> str:
    """The provider's name in the conventions' current vocabulary."""
    name = name.lower()
    return PROVIDERS.get(name, name)


def read_scalars(span: SpanView, keys: Keys) -> dict[str, str]:
    """Every scalar field of the alias table."""
    return {name: span.text(*keys.get(name, ())) for name in SCALARS}


def request_parameters(span: SpanView, prefixes: tuple[str, ...]) -> dict[str, str]:
    """Parameters under the first prefix that has them."""
    found: dict[str, str] = {}
    for name in PARAMETERS:
        value = span.text(*(prefix + name for prefix in prefixes))
        if value:
            found[name] = value
    return found


def time_to_first_token_ns(span: SpanView, keys: Keys) -> int | None:
    """From attributes in seconds, or from the event of the first token."""
    seconds = span.number(*keys.get("time_to_first_token_s", ()))
    if seconds is not None and 0 <= seconds * SECOND_NS <= INT64_MAX:
        return round(seconds * SECOND_NS)
    events = span.events(*keys.get("first_token_events", ()))
    if events and span.start_ns <= events[0].time_ns <= INT64_MAX:
        return events[0].time_ns - span.start_ns
    return None


def error_type(span: SpanView) -> str:
    """The error's class or code, from the attribute or the exception event."""
    said = span.text("error.type")
    if not said and span.span.status.code == 2:
        exceptions = span.events("exception")
        said = as_text(exceptions[-1].attributes.get("exception.type")) if exceptions else ""
    return said


def read_call(span: SpanView, dialect: Dialect, reading: Reading) -> Call:
    """The call of a span, before redaction and price."""
    keys = dialect.keys
    reasons = reading.finish_reasons or finish_reasons(span.get(*keys.get("finish_reasons", ())))
    if not reasons:
        reasons = tuple(m.finish_reason for m in reading.output if m.finish_reason)
    scalars: dict[str, Any] = read_scalars(span, keys)
    scalars |= {name: value for name, value in reading.scalars.items() if value}
    scalars["provider"] = fold_provider(scalars["provider"])
    return Call(
        service_name=span.resource_text("service.name"),
        service_version=span.resource_text("service.version"),
        environment=span.resource_text("deployment.environment.name", "deployment.environment"),
        sdk_language=span.resource_text("telemetry.sdk.language"),
        scope_name=span.scope_name,
        scope_version=span.scope_version,
        span_name=span.span.name[:1024],
        dialect=dialect.name,
        kind=reading.kind,
        parameters=reading.parameters,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        time_to_first_token_ns=time_to_first_token_ns(span, keys),
        status=_STATUSES.get(span.span.status.code, "unset"),  # type: ignore[arg-type]
        error_type=error_type(span),
        finish_reasons=reasons,
        usage=read_usage(span, keys),
        reported_cost_usd=as_decimal(span.get(*keys.get("reported_cost_usd", ()))),
        content_state=content_state(reading),
        **scalars,
    )


def read_content(reading: Reading) -> Content:
    """The content of a span with its system instructions in one place, said once."""
    leading, rest = split_system(reading.input)
    system = reading.system or leading
    if reading.system and leading:
        said = {part.text for part in reading.system}
        system += tuple(part for part in leading if part.text not in said)
    return Content(
        system=system,
        input=rest,
        output=reading.output,
        documents=reading.documents,
        tools=reading.tools,
    )


def content_state(reading: Reading) -> ContentState:
    """Whether the span carries its content, says where it is, or neither."""
    messages = (*reading.input, *reading.output)
    if reading.system or reading.documents or any(message.parts for message in messages):
        return "captured"
    return "external" if reading.content_is_external else "not_captured"


def tool_messages(
    name: str, call_id: str, arguments: str, result: str
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Input and output of a tool's own span: the call, and its result."""
    call = Part(type="tool_call", id=call_id, name=name, text=arguments)
    done = Part(type="tool_result", id=call_id, name=name, text=result)
    return (
        (Message(role="assistant", parts=(call,)),) if arguments else (),
        (Message(role="tool", parts=(done,)),) if result else (),
    )


def json_field(span: SpanView, key: str) -> dict[str, object]:
    """An attribute that holds a JSON object, or an empty mapping."""
    found = structured(span.get(key))
    return found if isinstance(found, dict) else {}
