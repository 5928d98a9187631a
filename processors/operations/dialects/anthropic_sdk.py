"""The Anthropic SDK's own spans (from its version 2), scope ``com.anthropic.sdk.python``.

They come whenever an application has a tracer provider, below or beside those of any instrumentor
of the SDK; mostly without content.
"""

from dataclasses import replace

from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Signals

DIALECT = replace(
    otel_genai.DIALECT,
    name="anthropic_sdk",
    checked_against="anthropic 2.12.0",
    signals=Signals(scopes=("com.anthropic.sdk.",)),
    logs_content=False,
)
