"""Tokens and money that other systems have counted twice, from their users' threads.

Emitters disagree whether input includes cached tokens and output includes reasoning. Each case is
the counts of a report, in both ways of saying them where both occur, and what the provider bills.
"""

import json
from decimal import Decimal
from typing import Any

import pytest

from schemas.records import Call, Usage
from tests.operations.spans import call_of, chat, make_span, read, read_span

MTOK = Decimal(1_000_000)
NOVEMBER_MS = 1_793_534_400_000


def told(model: str, provider: str = "openai", **usage: int) -> Call:
    """The call of a span with these counts under ``gen_ai.usage.``."""
    keys = {f"gen_ai.usage.{name.replace('__', '.')}": count for name, count in usage.items()}
    return call_of(read(chat(request__model=model) | {"gen_ai.provider.name": provider} | keys))


def total(usage: Usage) -> int:
    return sum(count or 0 for count in usage.model_dump().values())


@pytest.mark.parametrize("input_tokens", [5 + 128_955 + 1_253, 5], ids=["included", "excluded"])
def test_cache_reads_and_writes_of_anthropic(input_tokens: int) -> None:
    """langfuse#12306: 130,213 tokens shown as 260,421."""
    call = told(
        "claude-sonnet-4-5", "anthropic", input_tokens=input_tokens, output_tokens=100,
        cache_read__input_tokens=128_955, cache_creation__input_tokens=1_253,
    )  # fmt: skip
    assert total(call.usage) == 130_213 + 100
    assert call.usage.input_tokens == 5
    billed = 5 * 3 + 128_955 * Decimal("0.3") + 1_253 * Decimal("3.75") + 100 * 15
    assert call.cost_usd == billed / MTOK


@pytest.mark.parametrize("input_tokens", [17_903, 86], ids=["included", "excluded"])
def test_cached_prompts_of_openai(input_tokens: int) -> None:
    """langfuse#10592: 17,903 tokens in, 17,817 of them cached, shown as 35,720."""
    call = told(
        "gpt-4o", input_tokens=input_tokens, output_tokens=0, cache_read__input_tokens=17_817
    )
    assert (call.usage.input_tokens, total(call.usage)) == (86, 17_903)
    assert call.cost_usd == (86 * Decimal("2.5") + 17_817 * Decimal("1.25")) / MTOK


def test_reasoning_within_output() -> None:
    """langfuse#11244 and its like at Gemini: 21 thoughts inside 22 output tokens, paid once."""
    call = told("gemini-2.5-flash", "gcp.gemini", input_tokens=9, output_tokens=22,
                reasoning__output_tokens=21)  # fmt: skip
    assert (call.usage.output_tokens, call.usage.reasoning_tokens) == (1, 21)
    assert call.cost_usd == (9 * Decimal("0.3") + 22 * Decimal("2.5")) / MTOK


def test_thoughts_beside_the_answer_are_paid_too() -> None:
    """Gemini's own counts keep thoughts apart: 495 of them, 364 in the answer."""
    call = told("gemini-2.5-flash", "gcp.gemini", input_tokens=324, output_tokens=364,
                reasoning__output_tokens=495)  # fmt: skip
    assert (call.usage.output_tokens, call.usage.reasoning_tokens) == (364, 495)
    assert call.cost_usd == (324 * Decimal("0.3") + 859 * Decimal("2.5")) / MTOK


def test_a_cached_agent_is_not_billed_as_if_nothing_were_cached() -> None:
    """ClickHouse/nerve#105: seven times the bill, from cache reads charged as input as well."""
    calls = [
        told("claude-sonnet-4-5", "anthropic", input_tokens=200_000, output_tokens=300,
             cache_read__input_tokens=198_000, cache_creation__input_tokens=1_500)
        for _ in range(20)
    ]  # fmt: skip
    shown = sum((call.cost_usd or Decimal(0) for call in calls), Decimal(0))
    one = 500 * 3 + 198_000 * Decimal("0.3") + 1_500 * Decimal("3.75") + 300 * 15
    assert shown == 20 * one / MTOK
    twice = 20 * (200_000 * 3 + one) / MTOK
    assert twice > 7 * shown


def test_audio_is_part_of_the_prompt_once() -> None:
    """livekit/agents#5121: voice agents, whose cached and audio tokens nest in their input."""
    call = told(
        "gpt-4o-realtime-preview", input_tokens=1_000, output_tokens=500,
        cache_read__input_tokens=400, input_audio_tokens=500, output_audio_tokens=450,
    )  # fmt: skip
    assert call.usage == Usage(
        input_tokens=100, cache_read_tokens=400, input_audio_tokens=500, output_tokens=50,
        output_audio_tokens=450,
    )  # fmt: skip
    assert total(call.usage) == 1_500


def test_an_agents_sum_of_its_calls_is_not_paid_again() -> None:
    """langfuse#9305: spans above a call repeat its usage; only the call costs."""
    counts: dict[str, Any] = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 10}
    named = chat(request__model="gpt-4o") | counts
    assert call_of(read(named)).cost_usd == (1000 * Decimal("2.5") + 10 * 10) / MTOK
    for name in ("invoke_agent", "run_agent", "agent.run"):
        agent = call_of(read(named | {"gen_ai.operation.name": name}))
        assert agent.rolls_up()
        assert (agent.cost_usd, agent.price_version) == (None, "")


@pytest.mark.parametrize(
    "said",
    [
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o",
         "llm.invocation_parameters": {"service_tier": "batch"}},
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o",
         "llm.invocation_parameters": {"service_tier": "auto"},
         "output.value": {"id": "r", "service_tier": "batch"}},
        {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o",
         "langfuse.observation.model.parameters": {"service_tier": "batch"}},
        {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o",
         "langfuse.observation.output": {"role": "assistant", "service_tier": "Batch"}},
        {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": {"model": "gpt-4o",
         "service_tier": "batch", "messages": []}, "mlflow.spanOutputs": {"choices": []}},
        {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": {"model": "gpt-4o",
         "messages": []}, "mlflow.spanOutputs": {"usage": {"service_tier": "batch"}}},
        {"request_data": {"model": "gpt-4o", "service_tier": "batch"}, "logfire.msg": "x",
         "gen_ai.operation.name": "chat"},
    ],
)  # fmt: skip
def test_the_tier_is_read_in_requests_and_answers(said: dict[str, Any]) -> None:
    texts = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in said.items()}
    texts |= {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 10}
    fragment = read_span(make_span(texts), timestamp_ms=NOVEMBER_MS)
    assert fragment is not None
    call = call_of(fragment)
    assert call.service_tier == "batch"
    assert call.cost_usd == (1000 * Decimal("2.5") + 10 * 10) / 2 / MTOK


@pytest.mark.parametrize(
    ("key", "tier"),
    [("openai.response.service_tier", "Batch"), ("anthropic.response.service_tier", "batch"),
     ("gen_ai.openai.request.service_tier", "batch")],
)  # fmt: skip
def test_batch_calls_have_the_batch_price(key: str, tier: str) -> None:
    spent = chat(request__model="gpt-4o", usage__input_tokens=1000, usage__output_tokens=10)
    calls = [
        read_span(make_span(spent | said), timestamp_ms=NOVEMBER_MS) for said in ({}, {key: tier})
    ]
    usual, batch = (call_of(fragment) for fragment in calls if fragment is not None)
    assert (usual.service_tier, batch.service_tier) == ("", "batch")
    assert usual.cost_usd is not None
    assert batch.cost_usd == usual.cost_usd / 2
