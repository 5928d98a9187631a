"""Rates from the data bundled with ``genai-prices``, as of the call's time.

Its own ``calc_price`` takes a third of a millisecond a call; rates are read from its data once per
model, tier and minute instead, and a test holds both to the same cost for every model in the data.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, TieredPrices

from processors.operations.vendors import FRAMEWORKS
from processors.prices.rates import Rate, Rates

VERSION = f"genai-prices/{genai_prices.__version__}"

PROVIDERS = {
    "azure.ai.openai": "azure", "azure.ai.inference": "azure", "aws.bedrock": "aws",
    "gcp.gen_ai": "google", "gcp.gemini": "google", "gcp.vertex_ai": "google",
    "mistral_ai": "mistral", "x_ai": "x-ai", "moonshot_ai": "moonshotai",
    **{same: same for same in ("openai", "anthropic", "cohere", "groq", "deepseek", "perplexity",
                               "openrouter", "together", "fireworks", "cerebras")},
}  # fmt: skip
"""Provider names of the conventions to those of the price data."""

USUAL_TIERS = frozenset(
    ("", "default", "standard", "standard_only", "auto", "on_demand", "ondemand", "unspecified")
)
"""Tiers at the listed price."""

_KEYS = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "output_audio": "output_audio_mtok",
}
_MODELS_KEPT = 10_000
_RATES_KEPT = 50_000


def listed_provider(provider: str) -> str | None:
    """The name in the price data of a provider of the conventions; None where it has none."""
    if provider in PROVIDERS:
        return PROVIDERS[provider]
    return provider if provider in _listed() else None


def names_nobody(provider: str) -> bool:
    """Whether the name is no provider's: then the model tells who answered."""
    return not provider or provider in FRAMEWORKS


def bundled_rates(provider: str, model: str, tier: str, time_s: int) -> tuple[Rates, str] | None:
    """Rates of a model and where they stand in the data, or None where it has no price for it.

    A tier that the data does not price is unknown: batch and flex are half the listed price with
    some providers, priority twice it.
    """
    # Prices begin on a day, off-peak ones at a minute.
    return _rates(provider, model.lower(), tier, time_s // 60 * 60)


@lru_cache(_RATES_KEPT)
def _rates(provider: str, model: str, tier: str, time_s: int) -> tuple[Rates, str] | None:
    listed = listed_provider(provider)
    if listed is None and not names_nobody(provider):
        return None  # self-hosted, or sold by somebody at a price of their own
    found = _model(listed, model)
    if found is None:
        return None
    source, info = found
    named = "processing" if tier == "batch" else "service_tier"
    context: dict[str, str] | None = {named: tier}
    time = datetime.fromtimestamp(time_s, UTC)
    if not any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(time))
        for variant in info.price_variants or ()
    ):
        if tier not in USUAL_TIERS:
            return None
        context = None
    prices = info.get_prices(time, context)
    read: dict[str, Any] = {part: _rate(getattr(prices, key)) for part, key in _KEYS.items()}
    fee = prices.requests_kcount
    per_call = Decimal(fee) / 1000 if fee is not None else Decimal(0)
    return Rates(**read, per_call=per_call), f"bundled:{source}/{info.id}"


@cache
def _listed() -> frozenset[str]:
    return frozenset(provider.id for provider in get_snapshot().providers)


@lru_cache(_MODELS_KEPT)
def _model(provider: str | None, model: str) -> tuple[str, ModelInfo] | None:
    try:
        found, info = get_snapshot().find_provider_model(model, None, provider, None)
    except (LookupError, ValueError):
        return None
    return found.id, info


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        return Rate(Decimal(price.base), tuple((tier.start, tier.price) for tier in price.tiers))
    return Rate(Decimal(price))
