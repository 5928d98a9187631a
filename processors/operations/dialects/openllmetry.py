"""OpenLLMetry / Traceloop: flattened prompts (to 0.52), message attributes (from 0.53), the SDK's
decorator spans and LangChain tasks.

Streams of the Anthropic instrumentor over-count output by one (0.62) or report zeros (0.40): zeros
are taken as unknown. With its events mode content is in log records (``log_events.py``).
"""

from typing import Any

from processors.operations.attributes import (
    SpanView,
    Tree,
    as_text,
    in_order,
    json_text,
    structured,
)
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    fold_kind,
    request_parameters,
    tool_messages,
)
from processors.operations.messages import (
    ROLES,
    fold_finish_reason,
    read_documents,
    read_messages,
    read_parts,
    text_part,
)
from schemas.records import Message, Part

_ASSOCIATED = "traceloop.association.properties."

KEYS: Keys = {
    **otel_genai.KEYS,
    "conversation_id": (
        *otel_genai.KEYS["conversation_id"],
        f"{_ASSOCIATED}session_id",
        f"{_ASSOCIATED}thread_id",
        f"{_ASSOCIATED}chat_id",
    ),
    "user_id": (*otel_genai.KEYS["user_id"], "llm.user", f"{_ASSOCIATED}user_id"),
    "prompt_name": ("traceloop.prompt.key",),
    "prompt_version": ("traceloop.prompt.version", "traceloop.prompt.version_name"),
    "tags": (f"{_ASSOCIATED}tags",),
}

SPAN_KINDS = {
    "workflow": "invoke_workflow",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "task": "chain",
    "unknown": "chain",
}
REQUEST_KINDS = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
}

_SCOPE = "opentelemetry.instrumentation."
LLM_SCOPES = tuple(
    _SCOPE + name
    for name in (
        "openai.v0", "openai.v1", "anthropic", "langchain", "cohere", "bedrock", "groq",
        "mistralai", "ollama", "replicate", "together", "vertexai", "google_generativeai",
        "watsonx", "sagemaker", "crewai", "llamaindex", "haystack", "transformers", "alephalpha",
        "agno", "writer", "openai_agents",
    )
)  # fmt: skip
_FLAT_PARAMETERS = {
    "frequency_penalty": "llm.frequency_penalty",
    "presence_penalty": "llm.presence_penalty",
    "top_k": "llm.top_k",
    "stop_sequences": "llm.chat.stop_sequences",
}
_STREAMING = ("gen_ai.is_streaming", "llm.is_streaming")


def accepts(span: SpanView) -> bool:
    """Of the instrumentors' scopes, spans of a call."""
    return span.scope_name not in LLM_SCOPES or span.has_prefix("gen_ai.", "llm.", "traceloop.")


def read(span: SpanView) -> Reading:
    """Content by generation and kind."""
    reading = Reading(
        kind=_kind(span),
        parameters=request_parameters(span),
        wraps=span.scope_name in otel_genai.WRAPPING_SCOPES,
    )
    for name, key in _FLAT_PARAMETERS.items():
        if name not in reading.parameters and (value := span.text(key)):
            reading.parameters[name] = value
    if (streams := span.text(*_STREAMING)) and "stream" not in reading.parameters:
        reading.parameters["stream"] = streams.lower()
    otel_genai.read_message_attributes(span, reading)
    if not reading.input and not reading.output:
        _read_flat(span, reading)
    if not reading.input and not reading.output:
        _read_entity(span, reading)
    otel_genai.read_references(span, reading)
    return reading


def _kind(span: SpanView) -> str:
    if said := span.text("gen_ai.operation.name"):
        return fold_kind(said)
    if said := span.text("traceloop.span.kind"):
        return SPAN_KINDS.get(said, "chain")
    if said := span.text("llm.request.type"):
        # The Anthropic instrumentor calls its messages "completion"; its span says chat.
        is_chat = span.name.endswith(".chat")
        return "chat" if is_chat else REQUEST_KINDS.get(said, fold_kind(said))
    return "chat" if span.get("gen_ai.request.model") else "chain"


# --- flattened prompts ---------------------------------------------------------------------------


def _read_flat(span: SpanView, reading: Reading) -> None:
    prompts = span.indexed("gen_ai.prompt.")
    reading.input = tuple(_flat_message(tree, "user") for tree in prompts)
    answers = span.indexed("gen_ai.completion.")
    reading.output = tuple(_flat_message(tree, "assistant") for tree in answers)
    functions = span.indexed("llm.request.functions.")
    reading.tools = reading.tools or tuple(json_text(_function(tree)) for tree in functions)


def _flat_message(tree: Tree, role: str) -> Message:
    said = as_text(tree.get("role")) or role
    content = tree.get("content", tree.get("user"))  # "user" is the prompt of a completion
    blocks = structured(content)
    call_id = as_text(tree.get("tool_call_id"))
    is_blocks = isinstance(blocks, list) and all(
        isinstance(block, dict) and "type" in block for block in blocks
    )
    parts: list[Part]
    if said == "tool" or call_id:
        parts = [Part(type="tool_result", id=call_id, text=json_text(content))]
    elif said == "thinking":
        parts = [Part(type="reasoning", text=json_text(content))]
    else:
        parts = read_parts(blocks if is_blocks and blocks else json_text(content))
    for call in in_order(tree.get("tool_calls")):
        if isinstance(call, dict):
            parts += read_parts([{"type": "tool_call", **call}])
    return Message(
        role=ROLES.get(said, said),
        parts=tuple(parts),
        finish_reason=fold_finish_reason(tree.get("finish_reason")),
    )


def _function(tree: Tree) -> Tree:
    parameters = structured(tree.get("parameters"))
    return {"type": "function", **tree, **({"parameters": parameters} if parameters else {})}


# --- decorator spans, LangChain tasks ------------------------------------------------------------


def _read_entity(span: SpanView, reading: Reading) -> None:
    """Input and output of a workflow, task, agent or tool."""
    name = span.text("traceloop.entity.name")
    given = _entity(span.get("traceloop.entity.input", "gen_ai.tool.call.arguments"))
    returned = _entity(span.get("traceloop.entity.output", "gen_ai.tool.call.result"))
    if reading.kind == "execute_tool":
        reading.scalars["tool_name"] = span.text("gen_ai.tool.name") or name
        call_id = span.text("gen_ai.tool.call.id") or _call_id(span)
        result = _message_text(returned)
        reading.input, reading.output = tool_messages(
            reading.scalars["tool_name"], call_id, json_text(given), result
        )
    elif reading.kind == "retrieval":
        query = given.get("query") if isinstance(given, dict) else given
        reading.input = read_messages(query, "user")
        reading.documents = read_documents(returned)
    else:
        if reading.kind in ("invoke_agent", "invoke_workflow"):
            reading.scalars["agent_name"] = span.text("gen_ai.agent.name") or name
        reading.input = _entity_messages(given, "user")
        reading.output = _entity_messages(returned, "assistant")


def _entity(value: Any) -> Any:
    """The value inside the SDK's and LangChain's envelopes."""
    found = structured(value)
    if isinstance(found, dict):
        for member in ("outputs", "inputs", "output"):
            if member in found:
                return found[member]
        arguments, named = found.get("args"), found.get("kwargs")
        if isinstance(arguments, list) and isinstance(named, dict):
            if not named and len(arguments) == 1:
                return arguments[0]
            return {"args": arguments, **named} if arguments else named or None
        return found
    if isinstance(value, str) and value.startswith('"'):
        decoded = structured(f"[{value}]")  # a JSON string
        return decoded[0] if isinstance(decoded, list) and decoded else value
    return found if found is not None else value


def _entity_messages(value: Any, role: str) -> tuple[Message, ...]:
    if isinstance(value, dict):
        inner = value.get("messages")
        if inner is None and isinstance(value.get("kwargs"), dict):
            inner = value["kwargs"].get("messages", [value])
        if isinstance(inner, list):
            return read_messages(inner, role)
    if value in (None, "", {}, []):
        return ()
    return (Message(role=role, parts=(text_part(json_text(value)),)),)


def _message_text(value: Any) -> str:
    """A tool's result, taken out of LangChain's serialised message."""
    inner = value.get("kwargs") if isinstance(value, dict) and "lc" in value else None
    return json_text(inner.get("content") if isinstance(inner, dict) else value)


def _call_id(span: SpanView) -> str:
    found = structured(span.get("traceloop.entity.input"))
    named = found.get("kwargs") if isinstance(found, dict) else None
    return as_text(named.get("tool_call_id")) if isinstance(named, dict) else ""


DIALECT = Dialect(
    name="openllmetry",
    checked_against="opentelemetry-instrumentation-* 0.40.14, 0.49.6, 0.62.4",
    signals=Signals(
        scopes=LLM_SCOPES,
        keys=(
            "traceloop.span.kind",
            "traceloop.entity.name",
            "llm.request.type",
            "gen_ai.prompt.0.",
            "gen_ai.completion.0.",
        ),
    ),
    keys=KEYS,
    accepts=accepts,
    read=read,
    logs_content=True,
)
