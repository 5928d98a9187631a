"""Token counts as senders give them, in the parts that a call is stored with."""

import json
from typing import Any

import pytest

from processors.operations.usage import disjoint, read_counts
from schemas.records import LLM_KINDS, Usage
from tests.operations import captures
from tests.operations.spans import call_of, chat, read


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        # Anthropic by the SDK itself, by the conventions, and by OpenLIT, which leaves cache out.
        ({"gen_ai.usage.input_tokens": 63, "gen_ai.usage.cache_read.input_tokens": 20,
          "gen_ai.usage.cache_creation.input_tokens": 12}, (31, 20, 12)),
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 20,
          "telemetry.sdk.name": "openlit"}, (100, 20, None)),
        # The total tells that cached tokens are beside the input.
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 20,
          "gen_ai.usage.output_tokens": 7, "gen_ai.usage.total_tokens": 127}, (100, 20, None)),
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 20,
          "gen_ai.usage.output_tokens": 7, "gen_ai.usage.total_tokens": 107}, (80, 20, None)),
        # More cached than input can only be beside it.
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 20},
         (10, 20, None)),
    ],
)  # fmt: skip
def test_cached_tokens_are_apart_from_input(said: dict[str, Any], usage: tuple[Any, ...]) -> None:
    base = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"}
    found = call_of(read(base | said)).usage
    assert (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens) == usage


@pytest.mark.parametrize(
    ("said", "written"),
    [
        # The SDK's own spans; the sum not told beside the two; only one of the two.
        ({"gen_ai.usage.input_tokens": 63, "gen_ai.usage.cache_creation.input_tokens": 12,
          "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 5,
          "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 7}, (51, 5, 7)),
        ({"gen_ai.usage.input_tokens": 63, "gen_ai.usage.cache_creation.input_tokens": 0,
          "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 5,
          "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 7}, (51, 5, 7)),
        ({"gen_ai.usage.input_tokens": 63, "gen_ai.usage.cache_creation.input_tokens": 12,
          "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 7}, (51, 5, 7)),
    ],
)  # fmt: skip
def test_what_the_cache_keeps_for_an_hour_is_apart(
    said: dict[str, Any], written: tuple[int, int, int]
) -> None:
    base = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"}
    found = call_of(read(base | said)).usage
    sent = (found.input_tokens, found.cache_write_tokens, found.cache_write_1h_tokens)
    assert sent == written


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 31, "output_tokens": 17, "cache_creation_input_tokens": 12,
         "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7}},
        {"input_tokens": 43, "output_tokens": 17, "total_tokens": 60, "input_token_details":
         {"cache_creation": 0, "ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7}},
        {"prompt_tokens": 43, "completion_tokens": 17, "total_tokens": 60, "prompt_tokens_details":
         {"cache_creation_tokens": 12, "cache_creation_token_details":
          {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7}}},
    ],
    ids=["Anthropic", "LangChain", "LiteLLM"],
)  # fmt: skip
def test_usage_objects_tell_what_is_kept_for_an_hour(usage: dict[str, Any]) -> None:
    counts = read_counts(usage)
    assert disjoint(counts.values, counts.excludes_cache) == Usage(
        input_tokens=31, cache_write_tokens=5, cache_write_1h_tokens=7, output_tokens=17
    )


def test_audio_is_apart_from_input_and_output() -> None:
    said = {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": 50,
        "llm.token_count.prompt_details.audio": 20,
        "llm.token_count.completion": 9,
        "llm.token_count.completion_details.audio": 4,
    }
    found = call_of(read(said)).usage
    assert found == Usage(
        input_tokens=30, input_audio_tokens=20, output_tokens=5, output_audio_tokens=4
    )


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        # 50 of audio, of which the cache cannot leave more than 20.
        ({"cache_read.input_tokens": 80, "audio.input_tokens": 50},
         Usage(input_tokens=0, cache_read_tokens=80, input_audio_tokens=20, output_tokens=100)),
        # 40 of them are said to be cached.
        ({"cache_read.input_tokens": 80, "audio.input_tokens": 50,
          "audio.cache_read.input_tokens": 40},
         Usage(input_tokens=10, cache_read_tokens=80, input_audio_tokens=10, output_tokens=100)),
        ({"reasoning.output_tokens": 60, "audio.output_tokens": 60},
         Usage(input_tokens=100, output_tokens=0, reasoning_tokens=60, output_audio_tokens=40)),
    ],
)  # fmt: skip
def test_parts_that_overlap_are_told_once(said: dict[str, int], usage: Usage) -> None:
    counts = {"input_tokens": 100, "output_tokens": 100, "total_tokens": 200, **said}
    found = read(chat() | {f"gen_ai.usage.{name}": count for name, count in counts.items()})
    assert call_of(found).usage == usage


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        # OpenAI's realtime: 40 of the 50 audio tokens are among the 80 cached ones.
        ({"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {
            "cached_tokens": 80, "audio_tokens": 50,
            "cached_tokens_details": {"text_tokens": 40, "audio_tokens": 40}}},
         Usage(input_tokens=10, cache_read_tokens=80, input_audio_tokens=10, output_tokens=10)),
        # Gemini's counts leave thoughts out of the answer, tools' results out of the prompt.
        ({"promptTokenCount": 100, "candidatesTokenCount": 60, "thoughtsTokenCount": 50,
          "toolUsePromptTokenCount": 30, "totalTokenCount": 240},
         Usage(input_tokens=130, output_tokens=60, reasoning_tokens=50)),
        ({"prompt_token_count": 100, "candidates_token_count": 60, "thoughts_token_count": 50},
         Usage(input_tokens=100, output_tokens=60, reasoning_tokens=50)),
    ],
)  # fmt: skip
def test_counts_of_a_providers_usage_object(details: dict[str, Any], usage: Usage) -> None:
    said = {"langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": json.dumps(details)}  # fmt: skip
    assert call_of(read(said)).usage == usage


def test_geminis_thoughts_are_beside_its_answer() -> None:
    (call, *_) = (
        o.call
        for o in captures.decoded("google_adk1-google-adk-1.14.1").operations
        if o.call.kind in LLM_KINDS
    )
    assert (call.usage.output_tokens, call.usage.reasoning_tokens) == (17, 5)
