"""The price of a call, as of its time: that of the price file, else the bundled one."""

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

from processors.prices.bundled import VERSION, bundled_rates
from processors.prices.overrides import Asked, Overrides
from processors.prices.rates import Rates, total_input
from schemas.config import Config
from schemas.prices import PriceFile, load_prices
from schemas.records import Usage

TIME_MAX_NS = 2**62
"""Year 2116: clocks beyond it are wrong, and dates end at some point."""


class Price(NamedTuple):
    """``cost_usd`` is None and ``version`` empty where no price is known; ``source`` names the
    entry of the file or of the data that priced it."""

    cost_usd: Decimal | None
    version: str
    source: str


NO_PRICE = Price(None, "", "")


class PriceTable:
    """The bundled prices, and before them those of a price file. Safe to share between tasks."""

    def __init__(self, file: PriceFile | None = None) -> None:
        self._overrides = Overrides(file) if file is not None else None
        self.version = VERSION if file is None else f"{VERSION}+{file.version}"

    @classmethod
    def of(cls, config: Config) -> "PriceTable":
        """The table that the configuration names.

        Raises :class:`~schemas.strict_yaml.StrictYamlError` for a price file that cannot be used.
        """
        path: Path | None = config.prices.file
        return cls(load_prices(path) if path is not None else None)

    def of_usage(
        self, usage: Usage, provider: str, models: tuple[str, str], tier: str, time_ns: int
    ) -> Price:
        """The price of a call's usage; ``models`` are those that answered and that was asked for.

        ``time_ns`` chooses among prices that changed.
        """
        if not usage.known():
            return NO_PRICE
        asked = Asked(
            provider=provider.lower(),
            models=tuple(dict.fromkeys(filter(None, models))),
            tier=tier.lower(),
            input_tokens=total_input(usage),
            time_ns=min(max(time_ns, 0), TIME_MAX_NS),
        )
        listed = partial(_listed, asked)
        found = self._overrides.find(asked, listed) if self._overrides else None
        rates, source = found or listed() or (Rates(), "")
        cost = rates.cost(usage)
        return NO_PRICE if cost is None or not source else Price(cost, self.version, source)


BUNDLED = PriceTable()


def _listed(asked: Asked) -> tuple[Rates, str] | None:
    """The bundled rates of the model that answered, else of the one asked for."""
    time_s = asked.time_ns // 1_000_000_000
    for model in asked.models:
        found = bundled_rates(asked.provider, model, asked.tier, time_s)
        if found is not None:
            return found
    return None
