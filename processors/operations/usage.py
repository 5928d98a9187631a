"""Token counts as disjoint parts, whatever way the sender counts.

The conventions say that input includes cached tokens and output includes reasoning; a few senders
exclude them. A total decides where one is sent; else counts that cannot include their parts are
taken as excluding them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.operations.attributes import as_count, mapping
from schemas.records import Usage

Paths = tuple[tuple[str, ...], ...]

COUNTS: dict[str, Paths] = {
    "input_tokens": (
        ("input_tokens",), ("prompt_tokens",), ("inputTokens",), ("promptTokens",),
        ("prompt_token_count",), ("promptTokenCount",), ("input",),
    ),
    "output_tokens": (
        ("output_tokens",), ("completion_tokens",), ("outputTokens",), ("completionTokens",),
        ("candidates_token_count",), ("candidatesTokenCount",), ("output",),
    ),
    "total_tokens": (
        ("total_tokens",), ("totalTokens",), ("total_token_count",), ("totalTokenCount",),
        ("total",),
    ),
    "cache_read_tokens": (
        ("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"),
        ("input_token_details", "cache_read"), ("inputTokenDetails", "cacheReadTokens"),
        ("cache_read_input_tokens",), ("cacheReadInputTokens",), ("input_cached_tokens",),
        ("input_cache_read",), ("cached_content_token_count",), ("cachedContentTokenCount",),
        ("cached_input_tokens",), ("cachedInputTokens",), ("cachedPromptTokens",),
    ),
    "cache_write_tokens": (
        ("prompt_tokens_details", "cache_write_tokens"),
        ("prompt_tokens_details", "cache_creation_tokens"),
        ("input_token_details", "cache_creation"), ("inputTokenDetails", "cacheWriteTokens"),
        ("cache_creation_input_tokens",), ("cacheCreationInputTokens",),
        ("cacheWriteInputTokens",), ("input_cache_creation",), ("cache_write_input_tokens",),
    ),
    "reasoning_tokens": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"), ("output_token_details", "reasoning"),
        ("outputTokenDetails", "reasoningTokens"), ("reasoning_tokens",), ("reasoningTokens",),
        ("output_reasoning_tokens",), ("output_reasoning",), ("thoughts_token_count",),
        ("thoughtsTokenCount",),
    ),
    "input_audio_tokens": (
        ("prompt_tokens_details", "audio_tokens"), ("input_token_details", "audio"),
        ("input_audio_tokens",),
    ),
    "output_audio_tokens": (
        ("completion_tokens_details", "audio_tokens"), ("output_token_details", "audio"),
        ("output_audio_tokens",),
    ),
}  # fmt: skip
"""Where providers' and frameworks' usage objects hold each count, most trusted first."""

_EXCLUSIVE = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's own usage object: it has no total, and its input leaves out cached tokens."""


UNKNOWN = Usage()


@dataclass(slots=True)
class Counts:
    """Counts as sent. ``excludes_cache`` says that the sender leaves cached tokens out of input."""

    values: dict[str, int]
    excludes_cache: bool = False


def read_counts(usage: Any) -> Counts:
    """Counts of a usage object of any provider, native or as text."""
    found = mapping(usage)
    values: dict[str, int] = {}
    if not found:
        return Counts(values)
    for name, paths in COUNTS.items():
        for path in paths:
            value: Any = found
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            count = None if value is None else as_count(value)
            if count is not None:
                values[name] = count
                break
    excludes = any(key in found for key in _EXCLUSIVE) and "total_tokens" not in values
    return Counts(values, excludes)


def disjoint(counts: Mapping[str, int | None], excludes_cache: bool = False) -> Usage:
    """Usage from counts as sent; None stays None.

    A call with neither input nor output tokens is one whose counts were lost, not a free call.
    """
    input_tokens, output_tokens = counts.get("input_tokens"), counts.get("output_tokens")
    if not input_tokens and not output_tokens:
        return UNKNOWN
    cache_read, cache_write = counts.get("cache_read_tokens"), counts.get("cache_write_tokens")
    reasoning, total = counts.get("reasoning_tokens"), counts.get("total_tokens")
    cached = (cache_read or 0) + (cache_write or 0)
    if total is not None and input_tokens is not None and output_tokens is not None:
        beside = total - input_tokens - output_tokens  # what the total has and they have not
        both = beside > 0 and beside == cached + (reasoning or 0)
        excludes_cache |= both or 0 < beside == cached
        if both or (0 < beside == reasoning and beside != cached):
            output_tokens += reasoning or 0
    if not excludes_cache:
        input_tokens = _less(input_tokens, cached)
    return Usage(
        input_tokens=_less(input_tokens, counts.get("input_audio_tokens")),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=_less(_less(output_tokens, reasoning), counts.get("output_audio_tokens")),
        reasoning_tokens=reasoning,
        input_audio_tokens=counts.get("input_audio_tokens"),
        output_audio_tokens=counts.get("output_audio_tokens"),
    )


def _less(whole: int | None, part: int | None) -> int | None:
    """The whole without a part that it includes, if it can include it."""
    return whole - part if whole is not None and part is not None and part <= whole else whole
