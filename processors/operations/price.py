"""What a call cost, at the prices of its time, from the data bundled with ``genai-prices``.

Never the network. An unknown model, provider or count gives no cost, which is not zero.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import genai_prices

from schemas.records import Call

PRICE_VERSION = f"genai-prices/{genai_prices.__version__}"

PROVIDERS = {
    "azure.ai.openai": "azure", "azure.ai.inference": "azure", "aws.bedrock": "aws",
    "gcp.gen_ai": "google", "gcp.gemini": "google", "gcp.vertex_ai": "google",
    "mistral_ai": "mistral", "x_ai": "x-ai", "moonshot_ai": "moonshotai",
    **{same: same for same in ("openai", "anthropic", "cohere", "groq", "deepseek", "perplexity",
                               "openrouter", "together", "fireworks", "cerebras")},
}  # fmt: skip
"""Provider names of the conventions to those of the price data; others are found by the model."""


TIME_MAX_NS = 2**62
"""Year 2116: clocks beyond it are wrong, and dates end at some point."""


class Price(NamedTuple):
    """``cost_usd`` is None and ``version`` empty where no price is known."""

    cost_usd: Decimal | None
    version: str


NO_PRICE = Price(None, "")


def price_call(call: Call, time_ns: int) -> Price:
    """The cost of one call. ``time_ns`` chooses among prices that changed."""
    usage = call.usage
    if not usage.known():
        return NO_PRICE
    cache_read = usage.cache_read_tokens or 0
    cache_write = usage.cache_write_tokens or 0
    counts = genai_prices.Usage(
        input_tokens=(usage.input_tokens or 0) + cache_read + cache_write,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=(usage.output_tokens or 0) + (usage.reasoning_tokens or 0),
    )
    seconds = min(max(time_ns, 0), TIME_MAX_NS) // 1_000_000_000
    time = datetime.fromtimestamp(seconds, UTC)
    for model in (call.response_model, call.request_model):
        if not model:
            continue
        try:
            found = genai_prices.calc_price(
                counts,
                model_ref=model,
                provider_id=PROVIDERS.get(call.provider),
                genai_request_timestamp=time,
            )
        except (LookupError, ValueError):
            continue
        return Price(Decimal(found.total_price), PRICE_VERSION)
    return NO_PRICE
