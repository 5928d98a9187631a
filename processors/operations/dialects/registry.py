"""Which dialect reads a span: the first in order that recognises it.

The order is that of the signals' strength: a span may carry two dialects. Spans without any GenAI
key are not ours.
"""

from processors.operations.attributes import SpanView
from processors.operations.dialects import emitters, openinference, openllmetry, otel_genai
from processors.operations.dialects.reading import Dialect

DIALECTS: tuple[Dialect, ...] = (
    openinference.DIALECT,
    *emitters.BEFORE_OPENLLMETRY,
    openllmetry.DIALECT,
    *emitters.AFTER_OPENLLMETRY,
    otel_genai.DIALECT,
    emitters.OTHER,
)


def dialect_of(span: SpanView) -> Dialect | None:
    """The dialect of a span, or None if it is not a GenAI span."""
    return next((dialect for dialect in DIALECTS if dialect.recognises(span)), None)
