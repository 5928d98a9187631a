"""Semantic Kernel: the conventions of 1.30 with one finish reason, content in log records alone.

The loop around a chat that calls functions has no GenAI key and no call of its own.
"""

from dataclasses import replace

from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Signals

DIALECT = replace(
    otel_genai.DIALECT,
    name="semantic_kernel",
    checked_against="semantic-kernel 1.45.0",
    signals=Signals(scopes=("semantic_kernel.",)),
)
