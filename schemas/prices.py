"""The price file: own prices, negotiated rates, self-hosted models, ahead of the bundled prices.

The first entry that matches a call prices it; a call that none matches has the bundled price.
Nothing here is ever guessed: a price that is not written is unknown, which is not 0.
"""

import hashlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from schemas.strict_yaml import Strict, load_strict


def _midnight(value: Any) -> Any:
    """A day is its first moment in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_midnight)]
USD_MAX = 1_000_000
"""Of any price: a higher one is a slip of the pen, and its costs would not fit their column."""
Usd = Annotated[Decimal, Field(ge=0, le=USD_MAX, allow_inf_nan=False)]


class UsdPerMillion(Strict):
    """USD for a million tokens of each part; the parts are disjoint (see ``Usage``).

    Where ``cache_read``, ``cache_write`` or ``input_audio`` is not given, the provider charges
    those tokens as ``input``; ``reasoning`` and ``output_audio`` likewise as ``output``, and
    ``cache_write_1h`` (kept for an hour) as ``cache_write``.
    """

    input: Usd | None = None
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    input_audio: Usd | None = None
    output: Usd | None = None
    reasoning: Usd | None = None
    output_audio: Usd | None = None


class PriceEntry(Strict):
    """Which calls, when, at what price.

    ``model`` is a name or a pattern with ``*`` of the model that answered or was asked for.
    ``service_tier`` is what the call says (``batch``, ``flex``, ...): an entry without one is for
    calls of the usual tier, one with ``*`` for any. ``above_input_tokens`` is for long prompts,
    cached tokens counted.
    """

    model: str = Field(min_length=1)
    provider: str = ""
    service_tier: str = ""
    above_input_tokens: int = Field(default=0, ge=0)
    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None
    usd_per_million: UsdPerMillion | None = None
    usd_per_call: Usd = Decimal(0)
    discount_percent: Decimal | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def _is_a_price(self) -> "PriceEntry":
        if (self.usd_per_million is None) == (self.discount_percent is None):
            raise ValueError("either usd_per_million or discount_percent is needed")
        if self.discount_percent is not None and self.usd_per_call:
            raise ValueError("usd_per_call does not go with discount_percent")
        if self.from_ is not None and self.to is not None and self.to <= self.from_:
            raise ValueError("to must be later than from")
        return self


class PriceFile(Strict):
    """The whole file."""

    prices: tuple[PriceEntry, ...]

    @property
    def version(self) -> str:
        """Names what the file says; comments and layout do not change it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


def load_prices(path: Path) -> PriceFile:
    """Read a price file.

    Raises :class:`~schemas.strict_yaml.StrictYamlError` naming file, line and key.
    """
    return load_strict(path, PriceFile, "prices.file")
