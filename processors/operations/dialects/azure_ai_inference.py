"""Azure AI Inference's client: the conventions of 1.28, content in span events.

A client made for one model writes the literal ``chat`` as the requested one. The pipeline's HTTP
spans below it, of the same scope, have no GenAI key.
"""

from dataclasses import replace

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Keys, Reading, Signals

KEYS: Keys = {**otel_genai.KEYS, "request_model": ()}


def accepts(span: SpanView) -> bool:
    """Spans of a call."""
    return span.has_prefix("gen_ai.")


def read(span: SpanView) -> Reading:
    """The conventions' reading without a model that is none."""
    reading = otel_genai.read(span)
    model = span.text(*otel_genai.KEYS["request_model"])
    reading.hints["request_model"] = "" if model == "chat" else model
    return reading


DIALECT = replace(
    otel_genai.DIALECT,
    name="azure_ai_inference",
    checked_against="azure-ai-inference 1.0.0b9",
    signals=Signals(scopes=("azure.core.tracing.ext.opentelemetry_span",)),
    keys=KEYS,
    accepts=accepts,
    read=read,
    logs_content=False,
)
