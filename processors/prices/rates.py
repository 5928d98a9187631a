"""Rates by part of the usage, and the cost of a usage at them."""

from dataclasses import dataclass, fields
from decimal import Decimal

from schemas.records import Usage

MILLION = Decimal(1_000_000)

USUALLY_AS = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "reasoning": "output",
    "output_audio": "output",
}
"""A part without a rate of its own is charged as this one."""


@dataclass(frozen=True, slots=True)
class Rate:
    """USD for a million tokens, and what it becomes above a number of input tokens.

    ``steps`` are (input tokens, rate) by rising number; the whole call is charged at the last one
    that its input exceeds.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The rate of a call with that many input tokens, cached ones counted."""
        rate = self.base
        for start, stepped in self.steps:
            if input_tokens > start:
                rate = stepped
        return rate


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of the disjoint parts; None is unknown."""

    input: Rate | None = None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    input_audio: Rate | None = None
    output: Rate | None = None
    reasoning: Rate | None = None
    output_audio: Rate | None = None
    per_call: Decimal = Decimal(0)
    factor: Decimal = Decimal(1)

    def cost(self, usage: Usage) -> Decimal | None:
        """USD of a usage; None where tokens were spent whose rate is unknown."""
        input_tokens = total_input(usage)
        total = Decimal(0)
        for part, field in _FIELDS:
            count = getattr(usage, field)
            if not count:
                continue
            rate = self._of(part)
            if rate is None:
                return None
            total += rate.at(input_tokens) * count
        return (total / MILLION + self.per_call) * self.factor

    def _of(self, part: str) -> Rate | None:
        rate: Rate | None = getattr(self, part)
        return self._of(USUALLY_AS[part]) if rate is None and part in USUALLY_AS else rate


PARTS = tuple(field.name for field in fields(Rates) if field.name not in ("per_call", "factor"))
_FIELDS = tuple((part, f"{part}_tokens") for part in PARTS)


def total_input(usage: Usage) -> int:
    """Input tokens as providers count them for long-context rates: cached and audio ones too."""
    return (
        (usage.input_tokens or 0)
        + (usage.cache_read_tokens or 0)
        + (usage.cache_write_tokens or 0)
        + (usage.cache_write_1h_tokens or 0)
        + (usage.input_audio_tokens or 0)
    )
