"""Our reading of the bundled prices against the library's own arithmetic, for every model in it."""

from datetime import UTC, datetime

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from processors.prices.bundled import bundled_rates
from processors.prices.table import BUNDLED
from schemas.records import Usage

TIMES = [datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2025, 3, 1, 18, 45, tzinfo=UTC)]
SPENT = Usage(
    input_tokens=150_000, cache_read_tokens=60_000, cache_write_tokens=500,
    cache_write_1h_tokens=300, output_tokens=700, reasoning_tokens=90,
)  # fmt: skip
THE_SAME = genai_prices.Usage(
    input_tokens=210_800, cache_read_tokens=60_000, cache_write_tokens=800,
    cache_write_1h_tokens=300, output_tokens=790, output_reasoning_tokens=90,
)  # fmt: skip


@pytest.mark.parametrize("time", TIMES, ids=str)
def test_every_model_costs_what_the_library_says(time: datetime) -> None:
    same = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            found = bundled_rates(provider.id, model.id, "", int(time.timestamp()))
            if found is None or found[1] != f"bundled:{provider.id}/{model.id}":
                continue  # a provider that the conventions do not name finds models by their names
            cost = found[0].cost(SPENT)
            if cost is None:
                continue  # no rate for a part that was spent: the library takes it as free
            told = model.calc_price(THE_SAME, provider, genai_request_timestamp=time)
            assert cost == told.total_price, (provider.id, model.id)
            same += 1
    assert same > 1000


@pytest.mark.parametrize(
    ("provider", "model", "tier", "context"),
    [
        ("openai", "gpt-4o", "batch", {"processing": "batch"}),
        ("anthropic", "claude-sonnet-4-5", "batch", {"processing": "batch"}),
        ("openai", "o3", "flex", {"service_tier": "flex"}),
        ("openai", "gpt-4o", "auto", None),
        ("anthropic", "claude-sonnet-4-5", "standard", None),
        ("anthropic", "claude-sonnet-4-5", "standard_only", None),
    ],
)
def test_tiers_that_the_data_prices(
    provider: str, model: str, tier: str, context: dict[str, str] | None
) -> None:
    told = genai_prices.calc_price(
        THE_SAME, model, provider_id=provider, genai_request_timestamp=TIMES[0],
        price_context=context,
    )  # fmt: skip
    time_ns = int(TIMES[0].timestamp()) * 10**9
    priced = BUNDLED.of_usage(SPENT, provider, (model, ""), tier.upper(), time_ns)
    assert priced.cost_usd == told.total_price
    usual = BUNDLED.of_usage(SPENT, provider, (model, ""), "", time_ns).cost_usd
    assert usual is not None
    assert (priced.cost_usd < usual) == (context is not None)


def test_a_tier_without_a_price_is_unknown_not_the_usual_price() -> None:
    price = BUNDLED.of_usage(SPENT, "openai", ("gpt-4o", ""), "scale", 10**18)
    assert price == (None, "", "")


def test_unknown_is_never_zero() -> None:
    assert BUNDLED.of_usage(SPENT, "openai", ("no-such-model", ""), "", 10**18).cost_usd is None
    assert BUNDLED.of_usage(Usage(), "openai", ("gpt-4o", ""), "", 10**18).cost_usd is None
    assert BUNDLED.of_usage(SPENT, "", ("", ""), "", 10**18).cost_usd is None


@pytest.mark.parametrize(
    ("provider", "model", "as_named"),
    [
        ("ollama", "deepseek-r1", None),
        ("ollama", "mistral-small-latest", None),
        ("vllm", "deepseek-chat", None),
        ("acme", "gpt-4o", None),
        ("", "gpt-4o", ("openai", "gpt-4o")),
        ("langchain", "gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("azure.ai.openai", "azure/gpt-4o", ("azure.ai.openai", "gpt-4o")),
        ("anthropic", "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("gcp.vertex_ai", "gemini/gemini-2.0-flash", ("gcp.gemini", "gemini-2.0-flash")),
        ("aws.bedrock", "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
         ("aws.bedrock", "anthropic.claude-3-haiku-20240307-v1:0")),
        ("ollama", "openai/gpt-oss-20b", None),
        ("ollama", "mistralai/mistral-small-latest", None),
        ("openai", "mistralai/mistral-small-latest", None),
    ],
)  # fmt: skip
def test_a_vendors_price_is_that_of_its_own_calls(
    provider: str, model: str, as_named: tuple[str, str] | None
) -> None:
    price = BUNDLED.of_usage(SPENT, provider, ("", model), "", 10**18)
    named = (
        BUNDLED.of_usage(SPENT, as_named[0], (as_named[1], ""), "", 10**18) if as_named else None
    )
    assert price.cost_usd == (named.cost_usd if named else None)
    assert (price.cost_usd is None) == (as_named is None)
