"""Token counts as disjoint parts, whatever way the sender counts.

The conventions say that input includes cached tokens and output includes reasoning; a few senders
exclude them. Counts that cannot include their parts are taken as excluding them.
"""

from processors.operations.attributes import SpanView
from schemas.records import Usage

INPUT_AUDIO = (
    "gen_ai.usage.input_audio_tokens",
    "gen_ai.usage.details.input_audio_tokens",
    "llm.token_count.prompt_details.audio",
)
OUTPUT_AUDIO = (
    "gen_ai.usage.output_audio_tokens",
    "gen_ai.usage.details.output_audio_tokens",
    "llm.token_count.completion_details.audio",
)


def disjoint(
    input_tokens: int | None,
    cache_read: int | None,
    cache_write: int | None,
    output_tokens: int | None,
    reasoning: int | None,
    input_audio: int | None = None,
    output_audio: int | None = None,
) -> Usage:
    """Usage from inclusive counts; None stays None.

    A call with neither input nor output tokens is one whose counts were lost, not a free call.
    """
    if not input_tokens and not output_tokens:
        return Usage()
    input_tokens = _without(input_tokens, (cache_read or 0) + (cache_write or 0))
    input_tokens = _without(input_tokens, input_audio or 0)
    output_tokens = _without(output_tokens, reasoning or 0)
    output_tokens = _without(output_tokens, output_audio or 0)
    return Usage(
        input_tokens=input_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
        input_audio_tokens=input_audio,
        output_audio_tokens=output_audio,
    )


def _without(total: int | None, part: int) -> int | None:
    """A total less a part that it includes; one that is smaller cannot include it."""
    return total - part if total is not None and part <= total else total


def read_usage(span: SpanView, keys: dict[str, tuple[str, ...]]) -> Usage:
    """Usage from the alias table's token keys."""
    return disjoint(
        span.count(*keys["input_tokens"]),
        span.count(*keys["cache_read_tokens"]),
        span.count(*keys["cache_write_tokens"]),
        span.count(*keys["output_tokens"]),
        span.count(*keys["reasoning_tokens"]),
        span.count(*INPUT_AUDIO),
        span.count(*OUTPUT_AUDIO),
    )
