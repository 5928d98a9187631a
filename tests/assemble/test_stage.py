"""The assemble stage on an in-memory source: what is emitted, when, and after a crash."""

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from processors.assemble import trace
from processors.assemble.join import Joined
from processors.assemble.stage import EMISSIONS_MAX, AssembleStage
from processors.runtime.memory import FakeClock, MemoryOutputs, settle
from schemas.config import AssembleConfig, Config
from schemas.encoding import encode_batch
from schemas.identity import operation_revision
from schemas.protocols import Message, PoisonError, RetryableError
from schemas.records import Fragment, Operation, encode_record
from schemas.topics import FRAGMENTS, OPERATIONS
from tests.assemble.samples import chat_content, log, retrieval, span, span_id, tool

PARTITION = 3


class Bench:
    """One stage instance; messages are given by hand so that time stands still between them."""

    def __init__(self, outputs: MemoryOutputs | None = None, **settings: float) -> None:
        self.outputs = outputs or MemoryOutputs()
        self.clock = FakeClock()
        config = Config(assemble=AssembleConfig.model_validate(settings))
        self.stage = AssembleStage(config, self.outputs, self.clock)

    def send(self, *fragments: Fragment) -> asyncio.Task[None]:
        return asyncio.create_task(self.stage.process(message(fragments)))

    async def done(self, *fragments: Fragment) -> None:
        task = self.send(*fragments)
        await settle()
        assert task.done(), "the message is held"
        await task

    @property
    def emitted(self) -> list[Operation]:
        return operations(self.outputs)


def message(fragments: Sequence[Fragment]) -> Message:
    value = encode_batch([encode_record(fragment) for fragment in fragments])
    return Message(FRAGMENTS.name, PARTITION, 0, 0, None, value)


def operations(outputs: MemoryOutputs) -> list[Operation]:
    return [r for r in outputs.records(OPERATIONS.name) if isinstance(r, Operation)]


def newest(outputs: MemoryOutputs) -> dict[str, Operation]:
    best: dict[str, Operation] = {}
    for operation in operations(outputs):
        held = best.get(operation.span_id)
        if held is None or operation.revision >= held.revision:
            best[operation.span_id] = operation
    return best


def output_text(operation: Operation) -> str:
    return "".join(p.text for m in operation.content.output for p in m.parts)


async def test_a_complete_span_is_emitted_at_once_on_its_partition() -> None:
    bench = Bench()
    fragment = span(1, content=chat_content("hi", "hello"))
    await bench.done(fragment)
    assert [partition for partition, _ in bench.outputs.placed(OPERATIONS.name)] == [PARTITION]
    (operation,) = bench.emitted
    assert operation.fragments == (fragment.fragment_id,)
    assert operation.revision == operation_revision([fragment.fragment_id])
    assert operation.call == fragment.call
    assert operation.evidence_state == "complete"


async def test_log_content_is_awaited_and_ends_the_grace() -> None:
    bench = Bench()
    held = bench.send(span(1, awaits_log=True))
    await bench.clock.advance(5)
    assert not held.done()
    await bench.done(log(1, chat_content("hi", "hello")))
    await held
    (operation,) = bench.emitted
    assert output_text(operation) == "hello"
    assert operation.call.content_state == "captured"
    assert operation.revision >> 32 == 2


async def test_log_grace_ends_by_itself_and_late_content_makes_a_higher_revision() -> None:
    bench = Bench()
    held = bench.send(span(1, awaits_log=True))
    await bench.clock.advance(9.9)
    assert not bench.emitted
    await bench.clock.advance(0.2)
    await held
    await bench.done(log(1, chat_content("hi", "hello")))
    first, second = bench.emitted
    assert not first.content.parts()
    assert output_text(second) == "hello"
    assert second.revision > first.revision


async def test_log_records_alone_emit_nothing() -> None:
    bench = Bench()
    await bench.done(log(1, chat_content("hi", "hello")))
    assert bench.emitted == []


async def test_relief_ends_graces_as_late_context() -> None:
    bench = Bench()
    held = bench.send(span(1, awaits_log=True))
    await settle()
    bench.stage.relieve()
    await settle()
    await held
    assert [operation.evidence_state for operation in bench.emitted] == ["late_context"]


async def test_wrapper_is_withheld_shortly_then_marked_when_its_child_comes() -> None:
    bench = Bench()
    wrapper = span(1, wraps=True, end_s=2, content=chat_content("hi", "hello"))
    held = bench.send(wrapper)
    await bench.clock.advance(1.1)
    await held
    await bench.done(span(2, parent=1))
    marks = [(o.span_id, o.duplicate_of) for o in bench.emitted]
    assert marks[0] == (span_id(1), "")
    assert set(marks[1:]) == {(span_id(1), span_id(2)), (span_id(2), "")}
    assert newest(bench.outputs)[span_id(1)].duplicate_of == span_id(2)
    assert output_text(newest(bench.outputs)[span_id(2)]) == "hello"


async def test_the_richest_content_goes_to_the_span_that_counts() -> None:
    bench = Bench()
    outer = span(1, content=chat_content("the whole prompt", "yes"))
    inner = span(2, parent=1, content=chat_content("prompt", "yes, gladly"))
    await bench.done(outer, inner)
    counted = newest(bench.outputs)[span_id(2)]
    assert [text for _, text in counted.content.parts()] == ["the whole prompt", "yes, gladly"]


async def test_wrapper_with_its_child_in_hand_needs_no_grace() -> None:
    bench = Bench()
    await bench.done(span(2, parent=1), span(1, wraps=True, usage=None))
    assert newest(bench.outputs)[span_id(1)].duplicate_of == span_id(2)


async def test_nested_instrumentations_count_the_innermost_once() -> None:
    bench = Bench()
    await bench.done(
        span(1, model="openai/gpt-4o"), span(2, parent=1), span(3, parent=2, model="GPT-4o")
    )
    found = newest(bench.outputs)
    assert found[span_id(1)].duplicate_of == span_id(3)
    assert found[span_id(2)].duplicate_of == span_id(3)
    assert found[span_id(3)].duplicate_of == ""


@pytest.mark.parametrize(
    "child",
    [
        span(2, parent=1, model="gpt-4o-mini"),
        span(2, parent=1, usage=None),
        span(2, parent=1, kind="embeddings"),
        span(2, parent=9),
    ],
    ids=["other model", "no usage", "other family", "other parent"],
)
async def test_spans_of_different_calls_all_count(child: Fragment) -> None:
    bench = Bench()
    await bench.done(span(1), child)
    assert {o.duplicate_of for o in bench.emitted} == {""}


async def test_a_failed_call_seen_twice_counts_once() -> None:
    bench = Bench()
    outer = span(1, usage=None, status="error")
    await bench.done(span(2, parent=1, usage=None, status="error"), outer)
    found = newest(bench.outputs)
    assert found[span_id(1)].duplicate_of == span_id(2)
    assert found[span_id(2)].duplicate_of == ""


async def test_a_dialects_own_mark_wins_over_nesting() -> None:
    bench = Bench()
    await bench.done(span(1), span(2, parent=1, duplicate_of=1))
    found = newest(bench.outputs)
    assert found[span_id(2)].duplicate_of == span_id(1)
    assert found[span_id(1)].duplicate_of == ""


async def test_documents_and_tool_results_go_to_calls_that_end_after_them() -> None:
    bench = Bench()
    answer = chat_content("where?", "in Paris")
    await bench.done(
        span(1, kind="invoke_agent", usage=None, end_s=9),
        retrieval(2, ["Paris is in France", "Paris is in France"], end_s=1),
        tool(3, "18 degrees", end_s=2),
        tool(4, "too late", end_s=8),
        span(5, parent=1, end_s=4, content=answer),
    )
    evidence = newest(bench.outputs)[span_id(5)].evidence
    assert [(e.span_id, e.part, e.text) for e in evidence] == [
        (span_id(2), "document/0", "Paris is in France"),
        (span_id(3), "output/0/0", "18 degrees"),
    ]
    assert newest(bench.outputs)[span_id(1)].evidence == ()


async def test_open_retrieval_is_awaited_shortly() -> None:
    bench = Bench()
    await bench.done(tool(9, "too late", end_s=8))
    held = bench.send(span(5, parent=1, end_s=4, content=chat_content("where?", "in Paris")))
    await bench.clock.advance(0.5)
    assert not held.done()
    await bench.done(retrieval(2, ["Paris is in France"], end_s=1))
    await held
    calls = [o for o in bench.emitted if o.span_id == span_id(5)]
    assert [len(o.evidence) for o in calls] == [1]


async def test_no_retrieval_is_awaited_of_a_service_that_never_had_any() -> None:
    bench = Bench()
    await bench.send(span(5, parent=1, end_s=4, content=chat_content("where?", "in Paris")))


async def test_later_evidence_emits_again_at_most_twice_and_coalesced() -> None:
    bench = Bench()
    held = bench.send(span(50, parent=1, end_s=9, content=chat_content("where?", "in Paris")))
    await bench.clock.advance(1.1)
    await held
    for number in range(2, 10):
        waits = [bench.send(tool(number * 2 + i, f"result {number}/{i}", end_s=1)) for i in (0, 1)]
        await bench.clock.advance(1.1)
        await asyncio.gather(*waits)
    calls = [o for o in bench.emitted if o.span_id == span_id(50)]
    assert [len(o.evidence) for o in calls] == [0, 2, 4]
    assert len({o.revision for o in calls}) == 1


async def test_evidence_beyond_the_limit_is_left_out_and_said() -> None:
    bench = Bench(trace_evidence_bytes=25)
    await bench.done(
        span(1, kind="invoke_agent", usage=None),
        tool(2, "x" * 20, end_s=1),
        tool(3, "y" * 20, end_s=2),
        span(5, parent=1, end_s=4, content=chat_content("q", "a")),
    )
    call = newest(bench.outputs)[span_id(5)]
    assert [e.text for e in call.evidence] == ["y" * 20]
    assert call.evidence_state == "evicted"


async def test_confirmed_repeats_emit_nothing_and_unconfirmed_ones_again() -> None:
    bench = Bench()
    fragment = span(1, content=chat_content("hi", "hello"))
    bench.outputs.fail_next(1)
    with pytest.raises(RetryableError):
        await bench.send(fragment)
    await bench.done(fragment)
    assert len(bench.emitted) == 1
    await bench.done(fragment)
    assert len(bench.emitted) == 1


async def test_a_message_ends_only_after_its_operations_are_acknowledged() -> None:
    bench = Bench()
    bench.outputs.hold()
    held = bench.send(span(1, content=chat_content("hi", "hello")))
    await settle()
    assert not held.done()
    bench.outputs.release()
    await held


async def test_idle_traces_are_forgotten_and_their_evidence_missed() -> None:
    bench = Bench()
    agent = span(1, kind="invoke_agent", usage=None)
    await bench.done(agent, tool(2, "18 degrees", end_s=1))
    await bench.clock.advance(121)
    await bench.done(agent, span(5, parent=1, end_s=4, content=chat_content("q", "a")))
    call = newest(bench.outputs)[span_id(5)]
    assert (call.evidence, call.evidence_state) == ((), "evicted")


async def test_memory_is_bounded_by_the_least_recently_used_trace() -> None:
    bench = Bench(evidence_bytes=60_000)
    for number in range(100):
        await bench.done(span(1, trace_id=f"{number:032x}"))
        assert bench.stage._memory.bytes <= 60_000
    assert len(bench.emitted) == 100


@pytest.mark.parametrize("recalled", [True, False], ids=["span committed", "span redelivered"])
async def test_crash_between_a_span_and_its_late_part(recalled: bool) -> None:
    """Content, usage and duplicate marks survive a kill on either side of the commit."""
    early = (span(1, wraps=True, usage=None, end_s=2), span(2, parent=1, awaits_log=True))
    late = log(2, chat_content("hi", "hello"))
    first = Bench()
    held = first.send(*early)
    await first.clock.advance(11)
    await held
    second = Bench(first.outputs)
    if recalled:
        second.stage.recall(message(early))
        await second.done(late)
    else:
        again = second.send(*early)
        await second.done(late)
        await again
    found = newest(first.outputs)
    assert output_text(found[span_id(2)]) == "hello"
    assert found[span_id(2)].call.usage.output_tokens == 5
    assert found[span_id(1)].duplicate_of == span_id(2)


async def test_lost_state_makes_a_revision_that_loses() -> None:
    first = Bench()
    fragment = span(1)
    await first.done(log(1, chat_content("hi", "hello")), fragment)
    second = Bench(first.outputs)
    await second.done(fragment)
    full, poor = first.emitted
    assert poor.revision < full.revision
    assert output_text(newest(first.outputs)[span_id(1)]) == "hello"


async def test_recall_ignores_bad_bytes_and_process_refuses_them() -> None:
    bench = Bench()
    bad = Message(FRAGMENTS.name, 0, 0, 0, None, b'{"records": [{"tenant": "secret"}]}')
    bench.stage.recall(bad)
    with pytest.raises(PoisonError, match="undecodable_batch") as caught:
        await bench.stage.process(bad)
    assert "secret" not in str(caught.value)
    malformed = span(1).model_copy(update={"fragment_id": "not hex"})
    with pytest.raises(PoisonError, match="fragment_id"):
        await bench.stage.process(message([malformed]))


async def test_forgetting_a_partition_ends_its_graces_and_drops_its_state() -> None:
    bench = Bench()
    held = bench.send(span(1, awaits_log=True))
    await settle()
    bench.stage.forget(FRAGMENTS.name, PARTITION)
    await held
    assert len(bench.stage._memory) == 0
    await bench.stage.stop()


async def test_stopping_in_a_grace_is_no_failure() -> None:
    bench = Bench()
    held = bench.send(span(1, awaits_log=True))
    await settle()
    await bench.stage.stop()
    with pytest.raises(RetryableError):
        await held
    assert bench.emitted == []


async def test_a_wrapper_of_very_many_calls_is_not_emitted_for_each() -> None:
    bench = Bench()
    wrapper = span(1, wraps=True, content=chat_content("the whole prompt", "yes"))
    await bench.done(wrapper, span(2, parent=1))
    for number in range(3, 103):
        await bench.done(span(number, parent=1))
    again = [o for o in bench.emitted if o.span_id == span_id(1)]
    assert len(again) == EMISSIONS_MAX
    assert len(newest(bench.outputs)) == 102
    assert all(o.duplicate_of for o in again)


async def test_a_span_of_very_many_log_records_is_joined_once_a_message() -> None:
    joins = 0
    real = trace.join_fragments

    def counted(fragments: Iterable[Fragment]) -> Joined:
        nonlocal joins
        joins += 1
        return real(fragments)

    bench = Bench()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "join_fragments", counted)
        logs = [log(1, chat_content(f"word {number}"), number) for number in range(3000)]
        await bench.stage.process(message([span(1), *logs]))
    assert joins < 10
    (operation,) = newest(bench.outputs).values()
    assert len(operation.fragments) == 3001
