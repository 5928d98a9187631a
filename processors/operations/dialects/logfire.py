"""Logfire's instrumentation of OpenAI's and Anthropic's clients, scopes ``logfire.*``.

The conventions' messages with lists as JSON text; older releases only ``request_data`` and
``response_data``. A streamed call has two spans: one of the request, and after the stream a span
without length that looks like a log record and has answer, usage and how long it took. The second
one is the call.
"""

from processors.operations.attributes import SpanView
from processors.operations.bodies import Response, read_request, read_response
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    SECOND_NS,
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    json_field,
)
from processors.operations.usage import read_counts
from schemas.records import LLM_KINDS

KEYS: Keys = extended(otel_genai.KEYS, {"tags": ("logfire.tags",)})

_INCLUSIVE = ("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens",
              "cache_write_1h_tokens", "reasoning_tokens", "input_audio_tokens",
              "output_audio_tokens")  # fmt: skip


def accepts(span: SpanView) -> bool:
    """Spans of a model's call; Logfire's own spans and logs carry the same signals."""
    return span.has_prefix("gen_ai.") or span.get("request_data", "response_data") is not None


def read(span: SpanView) -> Reading:
    """The conventions' reading, then what only the bodies tell."""
    reading = otel_genai.read(span)
    request = read_request(json_field(span, "request_data"))
    body = json_field(span, "response_data")
    response = read_response(body) if body else None
    if "messages" in json_field(span, "request_data"):
        reading.system = reading.system or request.system
        reading.input = reading.input or request.messages
    reading.tools = reading.tools or request.tools
    reading.parameters = {**request.parameters, **reading.parameters}
    reading.hints["request_model"] = request.model
    if reading.kind == "chain" and request.model:
        reading.kind = _kind(span, response)
    reading.service_tier = request.service_tier
    raw = read_counts(json_field(span, "gen_ai.usage.raw")).values
    reading.counts.values = {name: raw[name] for name in _INCLUSIVE if name in raw}
    if response is not None:
        reading.output = reading.output or response.messages
        reading.finish_reasons = response.finish_reasons
        reading.service_tier = response.service_tier or reading.service_tier
        reading.counts.values = {**response.counts.values, **reading.counts.values}
        reading.counts.excludes_cache = response.counts.excludes_cache
    if span.text("logfire.span_type") == "log":
        seconds = span.number("duration")
        if seconds is not None and 0 <= seconds * SECOND_NS <= span.start_ns:
            reading.started_ns = span.start_ns - round(seconds * SECOND_NS)
    elif reading.kind in LLM_KINDS and _is_request_alone(span, reading):
        reading.kind = "chain"
    return reading


def _kind(span: SpanView, response: Response | None) -> str:
    """The kind that the bodies tell: what embeds has an input, and no message comes back."""
    asked = json_field(span, "request_data")
    if "messages" in asked or (response is not None and response.messages):
        return "chat"
    return "embeddings" if "input" in asked else "text_completion" if "prompt" in asked else "chat"


def _is_request_alone(span: SpanView, reading: Reading) -> bool:
    """Whether a call that went well has neither answer nor usage: its stream's span has them."""
    said = span.get("gen_ai.response.id", *KEYS["input_tokens"], *KEYS["output_tokens"])
    return span.status_code != 2 and not reading.output and said is None


DIALECT = Dialect(
    name="logfire",
    checked_against="logfire 5.2.0",
    signals=Signals(scopes=("logfire.",), keys=("logfire.json_schema", "logfire.msg")),
    keys=KEYS,
    accepts=accepts,
    read=read,
)
