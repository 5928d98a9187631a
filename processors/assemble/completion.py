"""Fields of the call that counts, completed by what other spans and log records say of it.

The span nearest to the provider knows usage and model best, but often not the conversation, the
user or the prompt, which the framework's span around it has. What the span says itself stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.records import Call, Usage

FILLED = ("provider", "request_model", "response_model", "response_id", "conversation_id",
          "user_id", "agent_name", "tool_name", "prompt_name", "prompt_version", "error_type",
          "time_to_first_token_ns", "finish_reasons", "reported_cost_usd", "tags")  # fmt: skip
_EMPTY: tuple[Any, ...] = ("", (), None)


def completed(call: Call, others: Sequence[Call], said: Iterable[Mapping[str, str]]) -> Call:
    """The call with its empty fields filled from calls that report the same, then from what log
    records say, earlier ones first."""
    update: dict[str, Any] = {}
    for source in others:
        for name in FILLED:
            if getattr(call, name) in _EMPTY and name not in update:
                value = getattr(source, name)
                if value not in _EMPTY:
                    update[name] = value
    for record in said:
        for name, text in record.items():
            if name in FILLED and name not in update and getattr(call, name) in _EMPTY:
                update[name] = text
    parameters = {**_merged(source.parameters for source in others), **call.parameters}
    if parameters != call.parameters:
        update["parameters"] = parameters
    for source in others:
        if _is_finer(source.usage, call.usage):
            update |= {
                "usage": source.usage,
                "cost_usd": source.cost_usd,
                "price_version": source.price_version,
            }
            break
    return call.model_copy(update=update) if update else call


def _merged(mappings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mapping in mappings:
        found = {**mapping, **found}
    return found


def _is_finer(other: Usage, own: Usage) -> bool:
    """Whether the other usage tells the same totals in more parts."""
    return own.known() and _sums(other) == _sums(own) and _told(other) > _told(own)


def _sums(usage: Usage) -> tuple[int, int]:
    given = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
             usage.cache_write_1h_tokens, usage.input_audio_tokens)  # fmt: skip
    returned = (usage.output_tokens, usage.reasoning_tokens, usage.output_audio_tokens)
    return sum(filter(None, given)), sum(filter(None, returned))


def _told(usage: Usage) -> int:
    return sum(value is not None for _, value in usage)
