"""Amazon Bedrock by botocore's instrumentation: the conventions of 1.30, content in log records.

Messages are Bedrock Converse's block lists. Spans of other AWS services have no GenAI key.
"""

from dataclasses import replace

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Signals


def accepts(span: SpanView) -> bool:
    """Spans of a model's call."""
    return span.has_prefix("gen_ai.")


DIALECT = replace(
    otel_genai.DIALECT,
    name="bedrock",
    checked_against="opentelemetry-instrumentation-botocore 0.66b2",
    signals=Signals(scopes=("opentelemetry.instrumentation.botocore.",)),
    accepts=accepts,
)
