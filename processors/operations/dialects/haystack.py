"""Haystack: pipelines, components and agents in keys ``haystack.*``, no GenAI keys.

What a component is, is told by its class; usage, model and finish reason are in the replies. Input
that is no JSON (an agent's) is a Python representation.
"""

import re

from processors.operations.attributes import SpanView, as_text, json_text, mapping
from processors.operations.bodies import read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    json_field,
)
from processors.operations.messages import read_documents, read_messages
from processors.operations.usage import read_counts
from schemas.records import Message

KEYS: Keys = otel_genai.KEYS

_KINDS = (
    (re.compile(r"ChatGenerator$"), "chat"),
    (re.compile(r"Generator$"), "text_completion"),
    (re.compile(r"Retriever$"), "retrieval"),
    (re.compile(r"Embedder$"), "embeddings"),
    (re.compile(r"Ranker$"), "rerank"),
    (re.compile(r"ToolInvoker$"), "execute_tool"),
    (re.compile(r"Agent$"), "invoke_agent"),
)
_PROVIDERS = (
    ("AzureOpenAI", "azure.ai.openai"), ("OpenAI", "openai"), ("Anthropic", "anthropic"),
    ("AmazonBedrock", "aws.bedrock"), ("Cohere", "cohere"), ("Mistral", "mistral_ai"),
    ("GoogleGenAI", "gcp.gen_ai"), ("GoogleAI", "gcp.gemini"), ("VertexAI", "gcp.vertex_ai"),
    ("Ollama", "ollama"), ("HuggingFace", "huggingface"),
)  # fmt: skip


def read(span: SpanView) -> Reading:
    """Content by what the span runs."""
    if span.has_prefix("haystack.agent."):
        return _read_run(span, "invoke_agent", "haystack.agent.input", "haystack.agent.output")
    if not span.has_prefix("haystack.component."):
        return _read_run(
            span, "invoke_workflow", "haystack.pipeline.input_data", "haystack.pipeline.output_data"
        )
    said = span.text("haystack.component.type")
    reading = Reading(kind=next((kind for name, kind in _KINDS if name.search(said)), "chain"))
    given = json_field(span, "haystack.component.input")
    returned = json_field(span, "haystack.component.output")
    if reading.kind in ("chat", "text_completion", "embeddings", "rerank"):
        names = (provider for name, provider in _PROVIDERS if said.startswith(name))
        reading.hints["provider"] = next(names, "")
    match reading.kind:
        case "retrieval" | "rerank":
            reading.input = read_messages(given.get("query"), "user")
            reading.documents = read_documents(returned.get("documents"))
        case "embeddings":
            about = mapping(returned.get("meta"))
            reading.input = read_messages(given.get("text"), "user")
            reading.counts = read_counts(about.get("usage"))
            reading.hints["response_model"] = as_text(about.get("model"))
        case "execute_tool":
            _read_tool(given, returned, reading)
        case "chain":
            reading.input = _whole(span, "haystack.component.input", "user")
            reading.output = _whole(span, "haystack.component.output", "assistant")
        case _:
            _read_generator(span, given, returned, reading)
    return reading


def _read_generator(
    span: SpanView, given: dict[str, object], returned: dict[str, object], reading: Reading
) -> None:
    request = read_request(given or span.get("haystack.component.input"))
    response = read_response(returned)
    reading.system, reading.input, reading.tools = request.system, request.messages, request.tools
    reading.output = response.messages if returned else ()
    reading.parameters = read_request(given.get("generation_kwargs")).parameters
    reading.counts = response.counts
    reading.finish_reasons = response.finish_reasons
    reading.hints |= {
        "request_model": request.model,
        "response_model": response.model,
        "response_id": response.id,
    }


def _read_tool(given: dict[str, object], returned: dict[str, object], reading: Reading) -> None:
    """The last message asks for the tools; their results are messages too."""
    reading.input = read_messages(given.get("messages"), "assistant")[-1:]
    reading.output = read_messages(returned.get("tool_messages"), "tool")
    names = [part.name for m in reading.output for part in m.parts if part.name]
    reading.hints["tool_name"] = names[0] if names else ""


def _read_run(span: SpanView, kind: str, given: str, returned: str) -> Reading:
    reading = Reading(kind=kind)
    asked, answered = json_field(span, given), json_field(span, returned)
    if isinstance(asked.get("messages"), list):
        reading.input = read_messages(asked["messages"], "user")
        reading.output = read_messages(answered.get("messages"), "assistant")[-1:]
    else:
        reading.input = _whole(span, given, "user") if asked else ()
        reading.output = _whole(span, returned, "assistant") if answered else ()
    reading.hints["agent_name"] = span.text("haystack.agent.name")
    return reading


def _whole(span: SpanView, key: str, role: str) -> tuple[Message, ...]:
    """All of an input or output as one message."""
    return read_messages([json_text(span.get(key))], role) if span.get(key) else ()


DIALECT = Dialect(
    name="haystack",
    checked_against="haystack-ai 2.31.0",
    signals=Signals(keys=("haystack.component.", "haystack.pipeline.", "haystack.agent.")),
    keys=KEYS,
    read=read,
)
