"""The assemble stage at its limits: unreadable records, calls too large, traces without end."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from processors.assemble.trace import TraceState
from processors.runtime.memory import MemoryOutputs
from schemas.protocols import PoisonError
from schemas.records import Record, encode_record
from tests.assemble.samples import chat_content, retrieval, span, span_id
from tests.assemble.test_stage import Bench, message, newest


async def test_one_unreadable_record_costs_its_neighbours_nothing() -> None:
    bench = Bench()
    malformed = span(1).model_copy(update={"fragment_id": "not hex"})
    bad = message([malformed, span(2)])
    await bench.stage.process(bad)
    assert [operation.span_id for operation in bench.emitted] == [span_id(2)]
    assert [letter.reason for letter in bench.outputs.letters] == ["undecodable_record"]
    later = Bench()
    later.stage.recall(bad)
    await later.done(span(2))
    assert newest(later.outputs)[span_id(2)].revision == bench.emitted[0].revision


class NarrowOutputs(MemoryOutputs):
    """Refuses large records, as a broker does."""

    def emit(self, topic: str, partition: int, record: Record) -> Awaitable[None]:
        if len(encode_record(record)) < 4000:
            return super().emit(topic, partition, record)
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(PoisonError("record_too_large"))
        return refused


async def test_a_call_too_large_for_a_message_still_counts() -> None:
    bench = Bench(NarrowOutputs())
    await bench.done(span(1, content=chat_content("q" * 5000, "a")), span(2))
    large, small = bench.emitted[-1], bench.emitted[0]
    assert (small.span_id, large.span_id) == (span_id(2), span_id(1))
    assert large.call.usage.known()
    assert not large.content.parts()
    assert "content_too_large" in large.call.flags
    assert bench.outputs.letters == []


async def test_a_trace_without_end_does_not_search_its_evidence_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = 0
    search = TraceState.evidence_for

    def counted(self: TraceState, *rest: Any) -> Any:
        nonlocal searched
        searched += 1
        return search(self, *rest)

    bench = Bench()
    await bench.done(*(span(n, end_s=9, content=chat_content("q", "a")) for n in range(10, 20)))
    monkeypatch.setattr(TraceState, "evidence_for", counted)
    for number in range(20, 30):
        task = bench.send(retrieval(number, [f"text {number}"], end_s=1))
        await bench.clock.advance(2)
        await task
    assert searched < 100
