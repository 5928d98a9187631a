"""OpenLIT: the conventions' keys, on spans that also carry their resource as attributes.

Time to first token is in seconds. Anthropic's input leaves out cached tokens here alone. Its
instrumentation of HTTP clients marks its spans the same way: they have no GenAI key.
"""

from dataclasses import replace

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Reading, Signals


def accepts(span: SpanView) -> bool:
    """Spans that OpenLIT marked and that are of a GenAI call."""
    scoped = span.scope_name.startswith("openlit.")
    marked = span.text("telemetry.sdk.name") == "openlit"
    return (scoped or marked) and span.has_prefix("gen_ai.")


def read(span: SpanView) -> Reading:
    """The conventions' reading, with Anthropic's way of counting."""
    reading = otel_genai.read(span)
    reading.counts.excludes_cache = span.text("gen_ai.provider.name", "gen_ai.system").lower() in (
        "anthropic",
    )
    return reading


DIALECT = replace(
    otel_genai.DIALECT,
    name="openlit",
    checked_against="openlit 1.45.0",
    signals=Signals(scopes=("openlit.",), keys=("telemetry.sdk.name",)),
    accepts=accepts,
    read=read,
)
