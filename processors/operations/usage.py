"""Token counts as disjoint parts, whatever way the sender counts.

The conventions say that input includes cached tokens and output includes reasoning; a few senders
exclude them. A total decides where one is sent; else counts that cannot include their parts are
taken as excluding them. Parts that overlap are told once: cached audio as cached, reasoning before
audio.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.operations.attributes import as_count, branch, mapping, structured
from processors.operations.python_values import parse_literal
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
    "cache_write_5m_tokens": (
        ("cache_creation", "ephemeral_5m_input_tokens"),
        ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_5m_input_tokens"),
        ("input_token_details", "ephemeral_5m_input_tokens"),
    ),
    "cache_write_1h_tokens": (
        ("cache_creation", "ephemeral_1h_input_tokens"),
        ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),
        ("input_token_details", "ephemeral_1h_input_tokens"),
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
    "cached_audio_tokens": (
        ("prompt_tokens_details", "cached_tokens_details", "audio_tokens"),
        ("input_token_details", "cached_tokens_details", "audio_tokens"),
    ),
    "output_audio_tokens": (
        ("completion_tokens_details", "audio_tokens"), ("output_token_details", "audio"),
        ("output_audio_tokens",),
    ),
}  # fmt: skip
"""Where providers' and frameworks' usage objects hold each count, most trusted first."""

_EXCLUSIVE = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's own usage object: it has no total, and its input leaves out cached tokens."""

_BESIDE: tuple[tuple[str, Paths, Paths], ...] = (
    (
        "output_tokens",
        (("candidates_token_count",), ("candidatesTokenCount",)),
        (("thoughts_token_count",), ("thoughtsTokenCount",)),
    ),
    (
        "input_tokens",
        (("prompt_token_count",), ("promptTokenCount",)),
        (("tool_use_prompt_token_count",), ("toolUsePromptTokenCount",)),
    ),
)
"""Gemini counts these beside: thoughts beside the answer, what tools said beside the prompt."""

_NAMED = re.compile(r"\s*[A-Za-z_][\w.]*\((.*)\)\s*", re.DOTALL)

UNKNOWN = Usage()


@dataclass(slots=True)
class Counts:
    """Counts as sent. ``excludes_cache`` says that the sender leaves cached tokens out of input."""

    values: dict[str, int]
    excludes_cache: bool = False


def read_counts(usage: Any) -> Counts:
    """Counts of a usage object of any provider, native or as text."""
    found = mapping(_out_of_its_class(usage))
    values: dict[str, int] = {}
    if not found:
        return Counts(values)
    for name, paths in COUNTS.items():
        if (count := _count(found, paths)) is not None:
            values[name] = count
    for name, wholes, parts in _BESIDE:
        if name in values and _count(found, wholes) == values[name]:
            values[name] += _count(found, parts) or 0
    excludes = any(key in found for key in _EXCLUSIVE) and "total_tokens" not in values
    return Counts(values, excludes)


def _out_of_its_class(usage: Any) -> Any:
    """The mapping that a text like ``Usage(prompt_tokens=42)`` or ``OrderedDict([..])`` shows."""
    named = _NAMED.fullmatch(usage) if isinstance(usage, str) else None
    if named is None:
        return usage
    found = parse_literal(named[0])
    if found is None:
        found = structured(named[1])
    if isinstance(found, list) and all(isinstance(one, list) and len(one) == 2 for one in found):
        return {str(key): value for key, value in found}
    return found


def _count(usage: Mapping[str, Any], paths: Paths) -> int | None:
    """The first count that is at one of these places."""
    for path in paths:
        count = as_count(branch(usage, *path))
        if count is not None:
            return count
    return None


def disjoint(counts: Mapping[str, int | None], excludes_cache: bool = False) -> Usage:
    """Usage from counts as sent; None stays None.

    A call with neither input nor output tokens is one whose counts were lost, not a free call.
    """
    input_tokens, output_tokens = counts.get("input_tokens"), counts.get("output_tokens")
    if not input_tokens and not output_tokens:
        return UNKNOWN
    cache_read, (cache_write, cache_hour) = counts.get("cache_read_tokens"), _written(counts)
    reasoning, total = counts.get("reasoning_tokens"), counts.get("total_tokens")
    cached = (cache_read or 0) + (cache_write or 0) + (cache_hour or 0)
    if total is not None and input_tokens is not None and output_tokens is not None:
        beside = total - input_tokens - output_tokens  # what the total has and they have not
        both = beside > 0 and beside == cached + (reasoning or 0)
        excludes_cache |= both or 0 < beside == cached
        if both or (0 < beside == reasoning and beside != cached):
            output_tokens += reasoning or 0
    if not excludes_cache:
        input_tokens = _less(input_tokens, cached)
    output_tokens = _less(output_tokens, reasoning)
    cached_audio = counts.get("cached_audio_tokens")
    input_audio = _within(input_tokens, _less(counts.get("input_audio_tokens"), cached_audio))
    output_audio = _within(output_tokens, counts.get("output_audio_tokens"))
    return Usage(
        input_tokens=_less(input_tokens, input_audio),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=cache_hour,
        output_tokens=_less(output_tokens, output_audio),
        reasoning_tokens=reasoning,
        input_audio_tokens=input_audio,
        output_audio_tokens=output_audio,
    )


def _written(counts: Mapping[str, int | None]) -> tuple[int | None, int | None]:
    """Tokens written to the cache, and apart from them those to be kept for an hour.

    The sum of both is sent beside them, or in its place 0 (LangChain's does not tell it twice).
    """
    written, hour = counts.get("cache_write_tokens"), counts.get("cache_write_1h_tokens")
    minutes = counts.get("cache_write_5m_tokens")
    if hour is None and minutes is None:
        return written, None
    whole = max(written or 0, (minutes or 0) + (hour or 0))
    return whole - (hour or 0), hour


def _less(whole: int | None, part: int | None) -> int | None:
    """The whole without a part that it includes, if it can include it."""
    return whole - part if whole is not None and part is not None and part <= whole else whole


def _within(whole: int | None, part: int | None) -> int | None:
    """Of a part as much as its whole has left."""
    return part if whole is None or part is None else min(part, whole)
