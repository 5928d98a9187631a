"""Rates from the price file."""

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from processors.prices.bundled import USUAL_TIERS, listed_provider
from processors.prices.rates import PARTS, Rate, Rates
from schemas.prices import PriceEntry, PriceFile

NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides which price a call has."""

    provider: str
    models: tuple[str, ...]
    tier: str
    input_tokens: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class _Compiled:
    entry: PriceEntry
    model: re.Pattern[str]
    from_ns: int | None
    to_ns: int | None
    rates: Rates | None
    source: str

    def matches(self, asked: Asked) -> bool:
        entry = self.entry
        if entry.provider and entry.provider.lower() not in (
            asked.provider, listed_provider(asked.provider),
        ):  # fmt: skip
            return False
        usual = asked.tier in USUAL_TIERS
        if entry.service_tier == "*":
            tier_fits = True
        elif entry.service_tier:
            tier_fits = entry.service_tier.lower() == asked.tier
        else:
            # A discount is off whatever the data says of that tier; a price is of one tier.
            tier_fits = usual or entry.discount_percent is not None
        return (
            tier_fits
            and (self.from_ns is None or self.from_ns <= asked.time_ns)
            and (self.to_ns is None or asked.time_ns < self.to_ns)
            and asked.input_tokens >= entry.above_input_tokens + (entry.above_input_tokens > 0)
            and any(self.model.fullmatch(name.lower()) for name in asked.models)
        )


class Overrides:
    """The entries of a price file, first match first."""

    def __init__(self, file: PriceFile) -> None:
        self._entries = [_compiled(entry) for entry in file.prices]

    def find(
        self, asked: Asked, listed: Callable[[], tuple[Rates, str] | None]
    ) -> tuple[Rates, str] | None:
        """Rates of the first entry that matches and their source; None where none does.

        ``listed`` gives the price that a discount is off; a discount off an unknown price is no
        price, and entries after it are not asked.
        """
        for compiled in self._entries:
            if not compiled.matches(asked):
                continue
            if compiled.rates is not None:
                return compiled.rates, compiled.source
            base = listed()
            discount = compiled.entry.discount_percent or Decimal(0)
            if base is None:
                return Rates(), compiled.source
            return replace(base[0], factor=1 - discount / 100), compiled.source
        return None


def _compiled(entry: PriceEntry) -> _Compiled:
    rates = None
    if entry.usd_per_million is not None:
        given = {part: getattr(entry.usd_per_million, part) for part in PARTS}
        known: dict[str, Any] = {part: Rate(usd) for part, usd in given.items() if usd is not None}
        rates = Rates(**known, per_call=entry.usd_per_call)
    named = (entry.provider, entry.model, entry.service_tier)
    return _Compiled(
        entry=entry,
        model=re.compile(fnmatch.translate(entry.model.lower())),
        from_ns=_ns(entry.from_),
        to_ns=_ns(entry.to),
        rates=rates,
        source="file:" + "/".join(filter(None, named)),
    )


def _ns(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return round(moment.timestamp() * 1_000_000) * NS_PER_US
