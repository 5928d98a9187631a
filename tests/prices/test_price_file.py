"""The price file: what it may say, what it must refuse, and what a call then costs."""

from decimal import Decimal
from pathlib import Path

import pytest

from processors.app import build_stage
from processors.prices.table import BUNDLED, Price, PriceTable
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from schemas.config import PACKAGE_ROOT, Config, PricesConfig
from schemas.prices import load_prices
from schemas.records import Call, Usage
from schemas.strict_yaml import StrictYamlError

NOV_NS = 1_793_534_400_000_000_000  # 2026-11-01T12:00:00Z
DAY_NS = 86_400_000_000_000
MILLION = 1_000_000


def table(folder: Path, text: str) -> PriceTable:
    """The table of a price file with this text."""
    path = folder / "prices.yaml"
    path.write_text(text)
    return PriceTable(load_prices(path))


def call(**fields: object) -> Call:
    """A chat of a model that only the file can price: a million tokens in and out."""
    usual = {
        "dialect": "x", "kind": "chat", "provider": "self", "response_model": "acme-7b",
        "start_ns": NOV_NS, "end_ns": NOV_NS,
        "usage": Usage(input_tokens=MILLION, output_tokens=MILLION),
    }  # fmt: skip
    return Call(**{**usual, **fields})  # type: ignore[arg-type]


def priced(prices: PriceTable, asked: Call, time_ns: int) -> Price:
    """The price of a call."""
    models = (asked.response_model, asked.request_model)
    return prices.of_usage(asked.usage, asked.provider, models, asked.service_tier, time_ns)


def test_a_self_hosted_model_has_the_price_of_the_file(tmp_path: Path) -> None:
    prices = table(tmp_path, "prices:\n- {model: ACME-*, usd_per_million: {input: 0.1, output: 0}}")
    assert priced(BUNDLED, call(), NOV_NS).cost_usd is None
    cost, version, source = priced(prices, call(), NOV_NS)
    assert (cost, source) == (Decimal("0.1"), "file:ACME-*")
    assert version.startswith("genai-prices/")
    assert version == prices.version != BUNDLED.version
    asked = call(response_model="", request_model="acme-7b")
    assert priced(prices, asked, NOV_NS).cost_usd == Decimal("0.1")


def test_an_entry_is_for_the_model_also_behind_its_providers_name(tmp_path: Path) -> None:
    prices = table(tmp_path, "prices:\n- {model: acme-7b, usd_per_million: {input: 1, output: 0}}")
    asked = call(response_model="ollama/acme-7b", provider="ollama")
    assert priced(prices, asked, NOV_NS).cost_usd == 1
    assert priced(prices, call(response_model="else/acme-7b"), NOV_NS).cost_usd is None


def test_every_part_has_its_rate_or_the_usual_one(tmp_path: Path) -> None:
    prices = table(
        tmp_path,
        """
prices:
- model: all-parts
  usd_per_million: {input: 10, cache_read: 1, cache_write: 12, cache_write_1h: 20, input_audio: 30,
                    output: 40, reasoning: 50, output_audio: 80}
  usd_per_call: 0.5
- model: two-parts
  usd_per_million: {input: 10, output: 40}
- model: input-only
  usd_per_million: {input: 10}
""",
    )
    usage = Usage(
        input_tokens=MILLION, cache_read_tokens=MILLION, cache_write_tokens=MILLION,
        cache_write_1h_tokens=MILLION,
        input_audio_tokens=MILLION, output_tokens=MILLION, reasoning_tokens=MILLION,
        output_audio_tokens=MILLION,
    )  # fmt: skip

    def cost(model: str, spent: Usage = usage) -> Decimal | None:
        return priced(prices, call(response_model=model, usage=spent), NOV_NS).cost_usd

    assert cost("all-parts") == Decimal("243.5")
    assert cost("two-parts") == 5 * 10 + 3 * 40
    assert cost("input-only") is None
    assert cost("input-only", Usage(input_tokens=MILLION)) == 10
    assert cost("input-only", Usage()) is None


def test_the_price_is_that_of_the_calls_time(tmp_path: Path) -> None:
    prices = table(
        tmp_path,
        """
prices:
- {model: acme-7b, to: 2026-11-01, usd_per_million: {input: 1, output: 1}}
- {model: acme-7b, from: 2026-11-01T00:00:00Z, to: 2026-11-02T02:00:00+02:00,
   usd_per_million: {input: 2, output: 2}}
""",
    )

    def cost(time_ns: int) -> Decimal | None:
        return priced(prices, call(), time_ns).cost_usd

    midnight_ns = NOV_NS - DAY_NS // 2
    assert cost(midnight_ns - 1) == 2
    assert cost(midnight_ns) == 4
    assert cost(midnight_ns + DAY_NS - 1) == 4
    assert cost(midnight_ns + DAY_NS) is None


def test_negotiated_rates_are_off_the_listed_ones(tmp_path: Path) -> None:
    prices = table(
        tmp_path,
        """
prices:
- {provider: openai, model: "gpt-4o*", discount_percent: 20}
- {model: "acme-*", discount_percent: 20}
""",
    )
    spent = call(provider="openai", response_model="gpt-4o-2024-08-06", request_model="gpt-4o")
    listed = priced(BUNDLED, spent, NOV_NS).cost_usd
    assert listed is not None
    assert priced(prices, spent, NOV_NS).cost_usd == listed * Decimal("0.8")
    assert priced(prices, call(), NOV_NS).cost_usd is None
    elsewhere = spent.model_copy(update={"provider": "azure.ai.openai"})
    assert priced(prices, elsewhere, NOV_NS) == priced(BUNDLED, elsewhere, NOV_NS)._replace(
        version=prices.version
    )


def test_tiers_and_long_prompts(tmp_path: Path) -> None:
    prices = table(
        tmp_path,
        """
prices:
- {model: acme-7b, service_tier: Batch, usd_per_million: {input: 1, output: 1}}
- {model: acme-7b, above_input_tokens: 1000000, usd_per_million: {input: 9, output: 9}}
- {model: acme-7b, usd_per_million: {input: 2, output: 2}}
""",
    )

    def cost(tier: str, **fields: object) -> Decimal | None:
        return priced(prices, call(service_tier=tier, **fields), NOV_NS).cost_usd

    assert cost("batch") == 2
    assert cost("") == cost("default") == cost("standard") == 4
    assert cost("flex") is None, "a tier nobody priced is unknown"
    longer = Usage(input_tokens=1, cache_read_tokens=MILLION, output_tokens=MILLION)
    assert cost("", usage=longer) == Decimal("18.000009")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices:\n- model: a\n  usd_per_milion: {input: 1}",
         ":3: prices.0.usd_per_milion: unknown key; did you mean usd_per_million?"),
        ("prices:\n- model: a\n  usd_per_million:\n    input: 1\n    cached: 1",
         ":5: prices.0.usd_per_million.cached: unknown key; did you mean cache_read?"),
        ("prices:\n- model: a\n  usd_per_million:\n    input: -1",
         ":4: prices.0.usd_per_million.input: Input should be greater than or equal to 0"),
        ("prices:\n- model: a\n  usd_per_million: {input: .inf}",
         ":3: prices.0.usd_per_million.input: Input should be a finite number"),
        ("prices:\n- model: a\n  usd_per_million: {input: 1e30}",
         ":3: prices.0.usd_per_million.input: Input should be less than or equal to 1000000"),
        ("prices:\n- model: a\n  usd_per_million: {input: 1e400}",
         ":3: prices.0.usd_per_million.input: "),
        ("prices:\n- model: a\n  usd_per_million: {input: 1}\n- usd_per_million: {input: 1}",
         ":4: prices.1.model: is missing"),
        ("prices:\n- model: a", ":2: prices.0: either usd_per_million or discount_percent"),
        ("prices:\n- {model: a, discount_percent: 120}", ":2: prices.0.discount_percent: "),
        ("prices:\n- {model: a, discount_percent: 1, from: 2026-02-01, to: 2026-01-01}",
         ":2: prices.0: to must be later than from"),
        ("prices:\n- {model: a, discount_percent: 1, from: 2026-02-01 10:00:00}",
         ":2: prices.0.from: Input should have timezone info"),
        ("price:\n- {model: a}", ":1: price: unknown key; did you mean prices?"),
        ("prices: [\n", ":2: not YAML"),
        ("prices:\n- model: a\n  model: b\n  discount_percent: 1",
         ":3: prices.0.model: stands twice"),
        ("", ":1: file: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StrictYamlError) as error:
        table(tmp_path, text)
    assert f"{tmp_path / 'prices.yaml'}{said}" in str(error.value)


def test_operations_refuse_to_start_with_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"

    def build() -> None:
        config = Config(
            prices=PricesConfig(file=path), privacy={"redaction_key": "0123456789abcdef" * 2}
        )
        build_stage("operations", config, MemoryOutputs(), SystemClock(), None)

    with pytest.raises(StrictYamlError, match=r"No such file or directory \(prices.file\)"):
        build()
    path.write_text("prices:\n- {model: a, usd_per_million: {input: -3}}")
    with pytest.raises(StrictYamlError, match=r"prices.yaml:2: prices.0.usd_per_million.input"):
        build()
    path.write_text("prices:\n- {model: a, usd_per_million: {input: 3}}")
    build()


def test_the_version_is_what_the_file_says_not_how(tmp_path: Path) -> None:
    one = table(tmp_path, "prices:\n- {model: a, discount_percent: 5}").version
    same = table(tmp_path, "# mine\nprices:\n- model: a\n  discount_percent: 5\n").version
    other = table(tmp_path, "prices:\n- {model: a, discount_percent: 6}").version
    assert one == same != other


def test_the_documented_file_can_be_used(tmp_path: Path) -> None:
    page = (PACKAGE_ROOT / "docs" / "cost.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    prices = table(tmp_path, example)
    usage = Usage(input_tokens=300_000, output_tokens=0)
    long = call(response_model="acme-long", usage=usage)
    assert priced(prices, long, NOV_NS).cost_usd == Decimal("1.2")
    hosted = call(provider="vllm", response_model="acme-7b-instruct")
    assert priced(prices, hosted, NOV_NS).cost_usd == Decimal("0.32")
