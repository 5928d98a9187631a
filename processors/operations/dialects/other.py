"""Spans of no known dialect that a key shows to be of a model's call.

They are read as the conventions with every alias of every dialect, so that ids, times, service,
provider, model, usage and conversation are never lost; then by what their keys end in.
"""

import re
from collections.abc import Iterable

from processors.operations.attributes import SpanView, json_text
from processors.operations.bodies import read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
)

_NAMESPACES = ("gen_ai.", "llm.", "genai.", "langchain.", "crewai.", "autogen.", "dspy.",
               "llama_index.", "openai.", "anthropic.", "bedrock.", "ollama.")  # fmt: skip
_TELLING = re.compile(
    r"(?:^|[._])(?:prompt|completion|llm|tokens?|messages)(?:$|[._])", re.IGNORECASE
)
_MODEL = re.compile(r"(?:^|[._])(?:model(?:[._](?:name|id))?|modelId|modelName)$")
_NO_MODEL = ("device.", "host.", "hw.", "android.", "ios.", "vehicle.", "data.")
"""Their models are no language models."""
_ENDINGS = {
    "input_tokens": ("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "tokens.input",
                     "tokens.prompt"),
    "output_tokens": ("output_tokens", "completion_tokens", "outputTokens", "completionTokens",
                      "tokens.output", "tokens.completion"),
    "total_tokens": ("total_tokens", "totalTokens", "tokens.total"),
}  # fmt: skip
_ASKED = ("prompt", "prompts", "messages", "input", "question")
_ANSWERED = ("completion", "completions", "response", "output", "answer")


def _model_key(span: SpanView) -> str:
    """The key that names a model, or ''."""
    found = (key for key in span.attributes if _MODEL.search(key) and not key.startswith(_NO_MODEL))
    return next(found, "")


def accepts(span: SpanView) -> bool:
    """Any key of a GenAI namespace with a value of use, or a model beside prompts or tokens."""
    if span.has_prefix("gen_ai."):
        return True
    model = _model_key(span)
    if not model and not span.has_prefix(*_NAMESPACES):
        return False
    return any(_TELLING.search(key) for key in span.attributes if key != model) or (
        bool(model) and span.has_prefix(*_NAMESPACES)
    )


def read(span: SpanView) -> Reading:
    """The conventions' reading, then what the keys' endings tell."""
    reading = otel_genai.read(span)
    model = _model_key(span)
    if model:
        side = "response_model" if "response" in model else "request_model"
        reading.hints[side] = span.text(model)
        reading.kind = "chat" if reading.kind == "chain" else reading.kind
    for name, endings in _ENDINGS.items():
        count = span.count(*(key for key in span.attributes if key.endswith(endings)))
        if count is not None:
            reading.counts.values[name] = count
    if not reading.input and not reading.output and reading.kind == "chat":
        request = read_request(_first(span, _ASKED))
        reading.system, reading.input = request.system, request.messages
        reading.output = read_response(_first(span, _ANSWERED)).messages
    return reading


def _first(span: SpanView, endings: Iterable[str]) -> str:
    for ending in endings:
        for key in span.attributes:
            if (key == ending or key.endswith(f".{ending}")) and (value := span.get(key)):
                return json_text(value)
    return ""


def dialect(others: Iterable[Dialect]) -> Dialect:
    """The last resort, after these."""
    keys: Keys = otel_genai.KEYS
    for one in others:
        keys = extended(keys, one.keys)
    return Dialect(
        name="other",
        checked_against="any emitter",
        signals=Signals(),
        keys={name: tuple(dict.fromkeys(listed)) for name, listed in keys.items()},
        accepts=accepts,
        read=read,
    )
