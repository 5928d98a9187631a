"""Token counts as disjoint parts, whatever way the sender counts.

The conventions say that input includes cached tokens and output includes reasoning; a few senders
exclude them. Counts that cannot include their parts are taken as excluding them.
"""

from processors.operations.attributes import SpanView
from schemas.records import Usage


def disjoint(
    input_tokens: int | None,
    cache_read: int | None,
    cache_write: int | None,
    output_tokens: int | None,
    reasoning: int | None,
) -> Usage:
    """Usage from inclusive counts; None stays None.

    A call with neither input nor output tokens is one whose counts were lost, not a free call.
    """
    if not input_tokens and not output_tokens:
        return Usage()
    cached = (cache_read or 0) + (cache_write or 0)
    if input_tokens is not None and cached <= input_tokens:
        input_tokens -= cached
    if output_tokens is not None and (reasoning or 0) <= output_tokens:
        output_tokens -= reasoning or 0
    return Usage(
        input_tokens=input_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
    )


def read_usage(span: SpanView, keys: dict[str, tuple[str, ...]]) -> Usage:
    """Usage from the alias table's token keys."""
    return disjoint(
        span.count(*keys["input_tokens"]),
        span.count(*keys["cache_read_tokens"]),
        span.count(*keys["cache_write_tokens"]),
        span.count(*keys["output_tokens"]),
        span.count(*keys["reasoning_tokens"]),
    )
