"""OpenInference (semantic conventions 0.1.42): flattened messages, documents and kinds.

Tokens of the prompt include cached ones, of the completion reasoning ones. The system prompt is
message 0. Values that the application masked (``__REDACTED__``) are absent.
"""

import re
from typing import Any

from processors.operations.attributes import (
    SpanView,
    Tree,
    as_text,
    branch,
    in_order,
    json_text,
    mapping,
    structured,
)
from processors.operations.bodies import body_tier
from processors.operations.dialects import otel_genai
from processors.operations.dialects.otel_genai import WRAPPING_SCOPES
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    json_field,
    tool_messages,
)
from processors.operations.messages import (
    ROLES,
    read_documents,
    read_messages,
    read_parts,
    text_part,
)
from schemas.records import Document, Message, Part

MASKED = "__REDACTED__"

_OWN: Keys = {
    "provider": ("llm.provider", "llm.system"),
    "request_model": ("llm.request.model_name", "embedding.model_name", "reranker.model_name"),
    "response_model": ("llm.response.model_name", "llm.model_name"),
    "conversation_id": ("session.id",),
    "user_id": ("user.id",),
    "agent_name": ("agent.name",),
    "tool_name": ("tool.name",),
    "prompt_name": ("prompt.id",),
    "prompt_version": ("llm.prompt_template.version",),
    "input_tokens": ("llm.token_count.prompt",),
    "cache_read_tokens": (
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "output_tokens": ("llm.token_count.completion",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    "total_tokens": ("llm.token_count.total",),
    "input_audio_tokens": ("llm.token_count.prompt_details.audio",),
    "output_audio_tokens": ("llm.token_count.completion_details.audio",),
    "tags": ("tag.tags",),
    "finish_reasons": ("llm.finish_reason",),
    "reported_cost_usd": ("llm.cost.total",),
    "first_token_events": ("First Token Stream Event",),
}
KEYS: Keys = extended(_OWN, otel_genai.KEYS)
"""A span may carry the conventions' keys beside its own."""

KINDS = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
}
"""Operation names by span kind; CHAIN, PROMPT, GUARDRAIL, EVALUATOR and the rest are ``chain``."""

_METADATA = {
    "conversation_id": ("session_id", "thread_id", "conversation_id"),
    "user_id": ("user_id",),
}
_INVOCATION = {
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
    "stop_sequences": ("stop", "stop_sequences"),
    "choice.count": ("n",),
    **{
        name: (name,)
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "frequency_penalty",
            "presence_penalty",
            "seed",
            "stream",
        )
    },
}
_RESPONSE_ID = re.compile(r'^\{\s*"id"\s*:\s*"([^"\\]{1,128})"')


def read(span: SpanView) -> Reading:
    """Content by the kind of span."""
    said = span.text("openinference.span.kind").upper()
    if said == "LLM" and _is_preparation(span):
        said = "CHAIN"
    reading = Reading(kind=KINDS.get(said, "chain"), wraps=span.scope_name in WRAPPING_SCOPES)
    metadata = json_field(span, "metadata")
    for name, keys in _METADATA.items():
        reading.hints[name] = next((as_text(metadata[k]) for k in keys if k in metadata), "")
    if said == "LLM":
        _read_llm(span, reading)
    elif said == "EMBEDDING":
        texts = (
            branch(tree, "embedding", "text") for tree in span.indexed("embedding.embeddings.")
        )
        reading.input = _texts("user", texts) or _texts("user", [_value(span, "input.value")])
        _read_invocation(json_field(span, "embedding.invocation_parameters"), span, reading)
    elif said == "RETRIEVER":
        reading.input = _texts("user", [_value(span, "input.value")])
        reading.documents = _documents(span, "retrieval.documents.")
    elif said == "RERANKER":
        reading.input = _texts("user", [_value(span, "reranker.query", "input.value")])
        reading.documents = _documents(span, "reranker.output_documents.")
    elif said == "TOOL":
        reading.input, reading.output = tool_messages(
            span.text("tool.name"),
            span.text("tool.id"),
            _tool_input(_value(span, "input.value")),
            _tool_output(_value(span, "output.value")),
        )
    else:
        _read_input_output(span, reading)
    return reading


def _is_preparation(span: SpanView) -> bool:
    """Whether a span of LlamaIndex's model class calls no provider: it only builds a request."""
    return span.scope_name.endswith("llama_index") and not span.has_prefix(
        "llm.input_messages.", "llm.prompts.", "llm.token_count.", "llm.prompt_template."
    )


def _value(span: SpanView, *keys: str) -> str:
    text = json_text(span.get(*keys))
    return "" if text == MASKED else text


def _texts(role: str, texts: Any) -> tuple[Message, ...]:
    return tuple(
        Message(role=role, parts=(text_part(json_text(text)),))
        for text in texts
        if text and text != MASKED
    )


def _read_input_output(span: SpanView, reading: Reading) -> None:
    reading.input = _texts("user", [_value(span, "input.value")])
    reading.output = _texts("assistant", [_value(span, "output.value")])


def _read_llm(span: SpanView, reading: Reading) -> None:
    reading.input = _messages(span, "llm.input_messages.", "user")
    reading.output = _messages(span, "llm.output_messages.", "assistant")
    prompts = [branch(tree, "prompt", "text") for tree in span.indexed("llm.prompts.")]
    answers = [branch(tree, "completion", "text") for tree in span.indexed("llm.choices.")]
    if prompts or answers:
        reading.kind = "text_completion"
        reading.input = reading.input or _texts("user", prompts)
        reading.output = reading.output or _texts("assistant", answers)
    reading.input = reading.input or _body(_value(span, "input.value"), "messages", "user")
    reading.output = reading.output or _body(_value(span, "output.value"), "choices", "assistant")
    reading.tools = tuple(
        json_text(schema)
        for tree in span.indexed("llm.tools.")
        if (schema := branch(tree, "tool", "json_schema"))
    )
    invocation = json_field(span, "llm.invocation_parameters")
    _read_invocation(invocation, span, reading)
    returned = _value(span, "output.value")
    served = body_tier(mapping(returned)) if '"service_tier"' in returned else ""
    reading.service_tier = served or body_tier(invocation)
    identified = _RESPONSE_ID.match(returned[:256])
    reading.scalars["response_id"] = identified[1] if identified else ""


def _body(text: str, member: str, role: str) -> tuple[Message, ...]:
    """Messages of a raw request or response body, where the span has no flattened ones."""
    body = structured(text)
    if isinstance(body, dict):
        body = body.get(member, body.get("messages"))
    return read_messages(body if body is not None else text, role)


def _read_invocation(invocation: Tree, span: SpanView, reading: Reading) -> None:
    for name, keys in _INVOCATION.items():
        value = next((invocation[key] for key in keys if invocation.get(key) is not None), None)
        if value is not None:
            reading.parameters[name] = as_text(value)
    if not span.text(*KEYS["request_model"]):
        model = as_text(invocation.get("model")) or span.text("llm.model_name")
        reading.scalars["request_model"] = model


def _messages(span: SpanView, prefix: str, role: str) -> tuple[Message, ...]:
    trees = (tree.get("message") for tree in span.indexed(prefix))
    return tuple(_message(tree, role) for tree in trees if isinstance(tree, dict))


def _message(tree: Tree, role: str) -> Message:
    """One flattened message; ``contents`` repeats ``content`` and ``tool_calls`` in order."""
    said = as_text(tree.get("role")) or role
    said = ROLES.get(said, said)
    blocks = in_order(tree.get("contents"))
    content = tree.get("content")
    parts: list[Part] = [part for block in blocks for part in _content(block)]
    call_id = as_text(tree.get("tool_call_id"))
    if not blocks and content not in (None, "", MASKED):
        if said == "tool" or call_id:
            name = as_text(tree.get("name"))
            parts = [Part(type="tool_result", id=call_id, name=name, text=json_text(content))]
        else:
            parts = read_parts(content)
    known = {(part.id, part.name) for part in parts if part.type == "tool_call"}
    calls = [_tool_call(branch(item, "tool_call")) for item in in_order(tree.get("tool_calls"))]
    if tree.get("function_call_name"):
        arguments = json_text(tree.get("function_call_arguments_json"))
        name = as_text(tree["function_call_name"])
        calls.append(Part(type="tool_call", name=name, text=arguments))
    parts += [call for call in calls if (call.id, call.name) not in known]
    return Message(role=said, parts=tuple(parts), name=as_text(tree.get("name")))


def _content(block: Any) -> list[Part]:
    if call := branch(block, "tool_call"):
        return [_tool_call(call)]
    inner = branch(block, "message_content")
    if not isinstance(inner, dict) or inner.get("text") == MASKED:
        return []
    url = branch(inner, "image", "image", "url") or branch(inner, "audio", "audio", "url")
    if url:
        said = {"type": as_text(inner.get("type")) or "image", "url": url}
        said["type"] = said["type"] if said["type"] in ("image", "audio") else "image"
        for name in ("mime_type", "transcript"):
            said[name] = branch(inner, "audio", "audio", name) or ""
        return read_parts([said])
    return read_parts([inner])


def _tool_call(call: Any) -> Part:
    return Part(
        type="tool_call",
        id=as_text(branch(call, "id")),
        name=as_text(branch(call, "function", "name")),
        text=json_text(branch(call, "function", "arguments")),
    )


def _tool_input(text: str) -> str:
    """The arguments out of LlamaIndex's ``{"args": .., "kwargs": ..}``."""
    found = structured(text)
    if isinstance(found, dict) and found and found.keys() <= {"args", "kwargs"}:
        return json_text(found.get("kwargs") or found.get("args"))
    return text


def _tool_output(text: str) -> str:
    """The result itself out of LangChain's serialised message or LlamaIndex's blocks."""
    found = structured(text)
    if isinstance(found, dict) and isinstance(found.get("blocks"), list):
        return "\n".join(part.text for part in read_parts(found["blocks"]))
    inner = branch(found, "data", "content")
    return json_text(inner) if inner is not None else text


def _documents(span: SpanView, prefix: str) -> tuple[Document, ...]:
    found = [tree.get("document") for tree in span.indexed(prefix)]
    for document in found:
        if isinstance(document, dict):
            document["metadata"] = structured(document.get("metadata"))
            if document.get("content") == MASKED:
                document["content"] = ""
    return read_documents([document for document in found if document])


DIALECT = Dialect(
    name="openinference",
    checked_against="openinference-semantic-conventions 0.1.42",
    signals=Signals(scopes=("openinference.",), keys=("openinference.span.kind",)),
    keys=KEYS,
    read=read,
)
