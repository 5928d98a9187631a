"""Vercel AI SDK 7 (``@ai-sdk/otel``), scope ``gen_ai``: the conventions, with steps in between.

``invoke_agent`` > ``step N`` > ``chat`` and ``execute_tool``. The agent repeats the steps' usage;
an embedding shows as two nested spans, of which the inner one has the usage.
"""

from dataclasses import replace

from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Signals

DIALECT = replace(
    otel_genai.DIALECT,
    name="vercel_ai",
    checked_against="@ai-sdk/otel 1.0.173",
    signals=Signals(scopes=("gen_ai",)),
    logs_content=False,
)
