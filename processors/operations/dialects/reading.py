"""What a dialect file provides, and the reading of scalar fields that all of them share.

``docs/dialects.md`` says how to add one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from processors.operations.asked import asked_form, read_service_tier
from processors.operations.attributes import (
    INT64_MAX,
    SpanView,
    as_decimal,
    as_text,
    mapping,
    structured,
)
from processors.operations.messages import finish_reasons, split_system
from processors.operations.usage import Counts, disjoint
from processors.operations.vendors import FRAMEWORKS, fold_provider, provider_of_model
from schemas.records import (
    LLM_KINDS,
    Content,
    ContentState,
    Document,
    Message,
    Part,
    Usage,
)

Keys = dict[str, tuple[str, ...]]
"""Attribute keys by field, most trusted first; also those of them that a span has."""

KINDS = {
    "completion": "text_completion", "embedding": "embeddings", "retriever": "retrieval",
    "vector_db_retrieve": "retrieval", "tool": "execute_tool", "agent": "invoke_agent",
    "workflow": "invoke_workflow", "execute_task": "chain", "agent_step": "chain",
    "execute_event_loop_cycle": "chain", "task": "chain", "parser": "chain", "prompt": "chain",
    "llm": "chat", "chat_model": "chat", "chat.completions": "chat", "framework": "chain",
    "text.completions": "text_completion", "responses": "chat", "reranker": "rerank",
    "guardrail": "chain", "evaluator": "chain", "memory": "chain", "event": "chain",
    "span": "chain", "generation": "chat", "rerank_documents": "rerank", "query": "retrieval",
    "search": "retrieval", "generate": "chat", "generate_text": "chat", "acompletion": "chat",
    "aembedding": "embeddings", "message": "chat", "stream": "chat",
}  # fmt: skip
"""Operation names that are not the conventions', folded; ``chain`` is any other unit of work."""

_NAMED_KINDS = LLM_KINDS | {"embeddings", "rerank", "retrieval", "execute_tool", "create_agent",
                            "invoke_agent", "invoke_workflow", "chain"}  # fmt: skip
_STEMS = (
    ("image", ""), ("audio", ""), ("speech", ""), ("transcri", ""), ("moderat", ""),
    ("token", ""), ("list", ""), ("delete", ""), ("memory", ""), ("batch", ""), ("file", ""),
    ("embed", "embeddings"), ("rerank", "rerank"), ("retriev", "retrieval"),
    ("tool", "execute_tool"), ("function", "execute_tool"),
    ("workflow", "invoke_workflow"), ("agent", "invoke_agent"),
    ("generate_content", "generate_content"), ("chat", "chat"), ("completion", "text_completion"),
    ("converse", "chat"), ("response", "chat"), ("messages", "chat"), ("invoke_model", "chat"),
)  # fmt: skip
"""Parts of other operation names, by which they are folded: the first that one has. Empty: it is
none of ours, and stays."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

MODEL_KINDS = LLM_KINDS | {"embeddings", "rerank"}
"""Kinds that a provider's model answers."""

SCALARS = ("provider", "request_model", "response_model", "response_id", "conversation_id",
           "user_id", "agent_name", "tool_name", "prompt_name", "prompt_version")  # fmt: skip

TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens",
          "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
          "reasoning_tokens", "input_audio_tokens", "cached_audio_tokens",
          "output_audio_tokens")  # fmt: skip

PARAMETERS = ("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty",
              "presence_penalty", "seed", "stop_sequences", "choice.count", "stream",
              "encoding_formats", "reasoning.level")  # fmt: skip
"""Request parameters kept, by their name after ``gen_ai.request.``."""

REFERENCE = "reference"
"""Name of a part that stands for content kept elsewhere, at its ``uri``."""
TAGS_MAX = 64
TAG_MAX_CHARS = 256
"""Of a tag, once it is redacted."""

NO_CONTENT = Content()
_STATUSES: dict[int, str] = {1: "ok", 2: "error"}
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000


@dataclass(slots=True)
class Reading:
    """One span understood: scalars, content, and what it says about being counted.

    ``scalars`` win over the alias table, ``hints`` fill in where it finds nothing; ``counts``
    likewise fill in tokens.
    """

    kind: str
    scalars: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=lambda: Counts({}))
    system: tuple[Part, ...] = ()
    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    documents: tuple[Document, ...] = ()
    tools: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    started_ns: int | None = None
    time_to_first_token_ns: int | None = None
    reported_cost_usd: Any = None
    service_tier: str = ""
    failed: bool = False
    content_is_external: bool = False
    wraps: bool = False
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True)
class Signals:
    """What shows a dialect: names of its scopes and attribute keys; one that ends in a dot is a
    prefix. Any one of them is enough."""

    scopes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def any_span(_: SpanView) -> bool:
    """Accepts every span that shows a signal."""
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One way of writing GenAI spans.

    Of the dialects whose ``signals`` a span shows, the first in the registry's order that
    ``accepts`` it reads it; ``accepts`` and ``read`` take any span. ``logs_content`` says that its
    emitters may put content into log records instead. ``checked_against`` begins with ``from
    reference`` where no capture was at hand.
    """

    name: str
    checked_against: str
    signals: Signals
    keys: Keys
    read: Callable[[SpanView], Reading]
    accepts: Callable[[SpanView], bool] = any_span
    logs_content: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """Which keys of a dialect's alias table a span has, by field."""

    scalars: Keys
    tokens: Keys
    others: Keys

    @classmethod
    def of(cls, span: SpanView, dialect: Dialect) -> "Present":
        """Found once for all spans with the same keys."""
        return span.shape.once(dialect, lambda names: cls.among(frozenset(names), dialect.keys))

    @classmethod
    def among(cls, names: frozenset[str], keys: Keys) -> "Present":
        """The keys that are among these names."""
        found = {
            name: there
            for name, listed in keys.items()
            if (there := tuple(key for key in listed if key in names))
        }
        scalars = {name: found.pop(name) for name in SCALARS if name in found}
        return cls(scalars, {name: found.pop(name) for name in TOKENS if name in found}, found)


def extended(base: Keys, further: Keys) -> Keys:
    """An alias table with further keys after those of another."""
    return {name: base.get(name, ()) + further.get(name, ()) for name in {**base, **further}}


def fold_kind(kind: str) -> str:
    """The operation name in the conventions' vocabulary, by its stem if it is none of those that
    are known; one without a known stem stays."""
    lower = kind.lower()
    known = KINDS.get(lower, lower)
    if not known or known in _NAMED_KINDS:
        return known
    words = _HUMP.sub("_", kind).lower().replace("-", "_")
    return next((folded for stem, folded in _STEMS if stem in words), "") or known


_PARAMETER_PREFIXES = ("gen_ai.request.", "gen_ai.openai.request.")


def _parameter_keys(names: tuple[str, ...]) -> Keys:
    keys = {name: tuple(p + name for p in _PARAMETER_PREFIXES if p + name in names)
            for name in PARAMETERS}  # fmt: skip
    return {name: listed for name, listed in keys.items() if listed}


def request_parameters(span: SpanView) -> dict[str, str]:
    """Parameters by their name, the conventions' current key before the older one."""
    listed = span.shape.once(_parameter_keys, _parameter_keys)
    return {name: value for name, keys in listed.items() if (value := span.text(*keys))}


def read_tags(value: Any) -> tuple[str, ...]:
    """Tags of a list, JSON text of one, or text with commas."""
    listed = structured(value)
    if isinstance(listed, dict):
        return ()
    if listed is None:
        listed = as_text(value).split(",") if value else []
    tags = (as_text(item).strip() for item in listed[:TAGS_MAX])
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def time_to_first_token_ns(
    span: SpanView, keys: Keys, first_token_events: tuple[str, ...]
) -> int | None:
    """From attributes in seconds or milliseconds, or from the event of the first token."""
    lasted_ns = span.end_ns - span.start_ns
    for name, unit_ns in (
        ("time_to_first_token_s", SECOND_NS),
        ("time_to_first_token_ms", MILLISECOND_NS),
    ):
        amount = span.number(*keys[name]) if name in keys else None
        if amount is None:
            continue
        # No token comes long after the end: then it is milliseconds under the key for seconds.
        is_ms = amount * MILLISECOND_NS <= lasted_ns < amount * SECOND_NS / 2
        since_ns = amount * (MILLISECOND_NS if is_ms else unit_ns)
        if 0 < since_ns <= INT64_MAX:
            return round(since_ns)
    events = span.events(*first_token_events) if first_token_events else []
    if events and span.start_ns <= events[0].time_ns <= INT64_MAX:
        return events[0].time_ns - span.start_ns
    return None


def error_type(span: SpanView) -> str:
    """The error's class or code, from the attribute or the exception event."""
    said = span.text("error.type")
    if not said and span.status_code == 2:
        exceptions = span.events("exception")
        said = as_text(exceptions[-1].attributes.get("exception.type")) if exceptions else ""
    return said or (span.text("error.code") if span.status_code == 2 else "")


def read_scalars(span: SpanView, keys: Keys, reading: Reading) -> dict[str, str]:
    """Every scalar field: the dialect's own reading, else the alias table, else its hints."""
    scalars = dict.fromkeys(SCALARS, "")
    for name, listed in keys.items():
        scalars[name] = span.text(*listed)
    for name, hint in reading.hints.items():
        scalars[name] = scalars[name] or hint
    for name, value in reading.scalars.items():
        if value:
            scalars[name] = value
    scalars["provider"] = provider = fold_provider(scalars["provider"])
    if reading.kind in MODEL_KINDS and (not provider or provider in FRAMEWORKS):
        models = (scalars["request_model"], scalars["response_model"])
        told = (provider_of_model(model) for model in models if model)
        scalars["provider"] = next(filter(None, told), provider)
    return scalars


def read_usage(span: SpanView, keys: Keys, reading: Reading) -> Usage:
    """Usage from the alias table's token keys and the dialect's own counts."""
    counts: dict[str, int | None] = dict(reading.counts.values)
    for name, listed in keys.items():
        if (count := span.count(*listed)) is not None:
            counts[name] = count
    return disjoint(counts, reading.counts.excludes_cache)


CallFields = dict[str, Any]
"""Fields of a :class:`~schemas.records.Call` by name, before it is made and thereby checked."""


def read_call(span: SpanView, dialect: Dialect, reading: Reading) -> CallFields:
    """The call of a span, before redaction and price."""
    present = Present.of(span, dialect)
    others = present.others
    reasons = reading.finish_reasons
    if not reasons and "finish_reasons" in others:
        reasons = finish_reasons(span.get(*others["finish_reasons"]))
    if not reasons:
        reasons = tuple(m.finish_reason for m in reading.output if m.finish_reason)
    cost = span.get(*others.get("reported_cost_usd", ()))
    ttft_ns = reading.time_to_first_token_ns
    if ttft_ns is None:
        first_token_events = dialect.keys.get("first_token_events", ())
        ttft_ns = time_to_first_token_ns(span, others, first_token_events)
    return {
        **span.origin.fields,
        **read_scalars(span, present.scalars, reading),
        "span_name": span.name,
        "dialect": dialect.name,
        "kind": reading.kind,
        "parameters": reading.parameters | asked_form(span),
        "start_ns": span.start_ns if reading.started_ns is None else reading.started_ns,
        "end_ns": span.end_ns,
        "time_to_first_token_ns": ttft_ns,
        "status": "error" if reading.failed else _STATUSES.get(span.status_code, "unset"),
        "error_type": error_type(span),
        "finish_reasons": reasons,
        "usage": read_usage(span, present.tokens, reading),
        "service_tier": read_service_tier(span) or reading.service_tier.lower(),
        "reported_cost_usd": as_decimal(cost if cost is not None else reading.reported_cost_usd),
        "tags": read_tags(span.get(*others["tags"])) if "tags" in others else (),
        "content_state": content_state(reading),
    }


def read_content(reading: Reading) -> Content:
    """The content of a span with its system instructions in one place, said once."""
    if not (reading.input or reading.output or reading.system or reading.documents
            or reading.tools):  # fmt: skip
        return NO_CONTENT
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
    parts = [*reading.system]
    for message in (*reading.input, *reading.output):
        parts += message.parts
    if reading.documents or any(part.name != REFERENCE or part.text for part in parts):
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


def json_field(span: SpanView, key: str) -> dict[str, Any]:
    """An attribute that holds a JSON object, or an empty mapping."""
    return mapping(span.json(key))
