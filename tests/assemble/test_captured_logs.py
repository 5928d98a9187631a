"""Captured spans and their log records: the same calls, whatever comes first."""

import random

import pytest

from schemas.records import Fragment, Operation
from tests.assemble.test_stage import Bench, newest
from tests.operations import captures

ANSWER = "It is 14 °C and raining in Paris."
TELLING = [name for name in captures.logged_names() if captures.log_fragments(name)[0]]


async def joined(fragments: list[Fragment]) -> dict[str, Operation]:
    """Newest operations after these fragments, a message each."""
    bench = Bench()
    tasks = [bench.send(fragment) for fragment in fragments]
    await bench.clock.advance(30)
    for task in tasks:
        await task
    return newest(bench.outputs)


@pytest.mark.parametrize("name", TELLING)
async def test_any_order_gives_the_same_calls(name: str) -> None:
    spans, logs = captures.fragments(name)[0], captures.log_fragments(name)[0]
    expected = await joined([*spans, *logs])
    assert await joined([*logs, *spans]) == expected
    for seed in range(5):
        mixed = [*spans, *logs, *logs[:2], *spans[:1]]
        random.Random(seed).shuffle(mixed)
        assert await joined(mixed) == expected


@pytest.mark.parametrize("name", TELLING)
async def test_content_of_logs_is_the_calls_content(name: str) -> None:
    spans, logs = captures.fragments(name)[0], captures.log_fragments(name)[0]
    found = await joined([*spans, *logs])
    for span_id in {fragment.span_id for fragment in logs}:
        state = "external" if "upload_ref" in name else "captured"
        assert found[span_id].call.content_state == state
        assert found[span_id].content.input
    if "upload_ref" in name:
        return
    texts = [text for operation in found.values() for _, text in operation.content.parts()]
    assert ANSWER in texts


async def test_of_a_conversation_in_logs_every_message_is_in_its_place() -> None:
    name = "otel_genai_v1.30-opentelemetry-instrumentation-openai-v2-2.4b0"
    found = await joined([*captures.log_fragments(name)[0], *captures.fragments(name)[0]])
    rounds = [
        [(m.role, m.parts[0].type) for m in (*o.content.input, *o.content.output)]
        for o in found.values()
    ]
    assert [
        ("user", "text"),
        ("assistant", "tool_call"),
        ("tool", "tool_result"),
        ("assistant", "text"),
    ] in rounds


async def test_what_is_wrong_with_a_records_content_is_said_of_the_call() -> None:
    name = TELLING[0]
    spans, logs = captures.fragments(name)[0], captures.log_fragments(name)[0]
    cut = [log.model_copy(update={"flags": ("truncated",)}) for log in logs]
    for found in (await joined([*spans, *cut]), await joined([*cut, *spans])):
        told = {span_id for span_id, o in found.items() if "truncated" in o.call.flags}
        assert told >= {log.span_id for log in logs} & found.keys()
