"""Which dialect reads a span: the first in order whose signal it shows and that accepts it.

The order is that of the signals' strength: a span may show two dialects. One table of all signals
is made at start, and a scope's name and a set of keys are looked up in it once, so that the time to
recognise a span does not grow with the number of dialects.
Spans without any sign of a model are not ours.
"""

from functools import lru_cache

from processors.operations.attributes import SpanView
from processors.operations.dialects import (
    agent_framework,
    anthropic_sdk,
    azure_ai_inference,
    bedrock,
    google_adk,
    haystack,
    langfuse,
    langsmith,
    litellm,
    logfire,
    mcp,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    otel_genai,
    other,
    pydantic_ai,
    semantic_kernel,
    spring_ai,
    strands,
    vector_store,
    vercel_ai,
    vercel_ai_legacy,
)
from processors.operations.dialects.reading import Dialect
from processors.operations.shapes import SHAPES_KEPT

KNOWN: tuple[Dialect, ...] = (
    openinference.DIALECT,
    langfuse.DIALECT,
    langsmith.DIALECT,
    mlflow.DIALECT,
    vercel_ai_legacy.DIALECT,
    vercel_ai.DIALECT,
    pydantic_ai.DIALECT,
    logfire.DIALECT,
    google_adk.DIALECT,
    strands.DIALECT,
    litellm.DIALECT,
    spring_ai.DIALECT,
    vector_store.DIALECT,
    openllmetry.DIALECT,
    openlit.DIALECT,
    agent_framework.DIALECT,
    semantic_kernel.DIALECT,
    azure_ai_inference.DIALECT,
    bedrock.DIALECT,
    haystack.DIALECT,
    anthropic_sdk.DIALECT,
    mcp.DIALECT,
    otel_genai.DIALECT,
)
DIALECTS: tuple[Dialect, ...] = (*KNOWN, other.dialect(KNOWN))


def _places(kind: str) -> tuple[dict[str, list[int]], dict[str, list[tuple[str, int]]]]:
    """Places of exact signals, and of prefixes by their first segment."""
    exact: dict[str, list[int]] = {}
    prefixes: dict[str, list[tuple[str, int]]] = {}
    for place, dialect in enumerate(KNOWN):
        for signal in getattr(dialect.signals, kind):
            if signal.endswith("."):
                prefixes.setdefault(signal.partition(".")[0], []).append((signal, place))
            else:
                exact.setdefault(signal, []).append(place)
    return exact, prefixes


_SCOPES, _SCOPE_PREFIXES = _places("scopes")
_KEYS, _KEY_PREFIXES = _places("keys")


@lru_cache(SHAPES_KEPT)
def _shown_by_scope(scope: str) -> frozenset[int]:
    """Places of the dialects of which a scope's name is a signal."""
    listed = _SCOPE_PREFIXES.get(scope.partition(".")[0], ())
    prefixed = {place for prefix, place in listed if scope.startswith(prefix)}
    return frozenset(prefixed.union(_SCOPES.get(scope, ())))


def _shown_by_keys(keys: tuple[str, ...]) -> frozenset[int]:
    """Places of the dialects of which an attribute's key is a signal."""
    found: set[int] = set()
    for key in keys:
        if places := _KEYS.get(key):
            found.update(places)
        listed = _KEY_PREFIXES.get(key.partition(".")[0])
        if listed:
            for prefix, place in listed:
                if key.startswith(prefix):
                    found.add(place)
    return frozenset(found)


@lru_cache(SHAPES_KEPT)
def _in_order(places: frozenset[int]) -> tuple[Dialect, ...]:
    """The dialects to ask, the last resort last."""
    return (*(DIALECTS[place] for place in sorted(places)), DIALECTS[-1])


def dialect_of(span: SpanView) -> Dialect | None:
    """The dialect of a span, or None if it is not a GenAI span."""
    shown = span.shape.once(_shown_by_keys, _shown_by_keys) | _shown_by_scope(span.scope_name)
    for dialect in _in_order(shown):
        if dialect.accepts(span):
            return dialect
    return None
