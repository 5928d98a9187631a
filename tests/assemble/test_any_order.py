"""Any order and any repetition of a trace's fragments ends with the same newest operations."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.assemble.trace import TraceState
from schemas.identity import operation_revision
from schemas.records import Content, Fragment, Message, Operation, Part
from tests.assemble.samples import chat_content, log, retrieval, span, span_id, tool
from tests.assemble.test_stage import Bench, message, newest

SPANS = 6


@st.composite
def contents(draw: st.DrawFn) -> Content:
    texts = st.sampled_from(["", "a", "bb", "ccc"])
    return chat_content(draw(texts), draw(texts))


@st.composite
def fragments_of_a_trace(draw: st.DrawFn) -> list[Fragment]:
    """One trace: nested calls, wrappers, dialect marks, retrieval, tools, logs, re-sent spans."""
    found: list[Fragment] = []
    for number in range(1, draw(st.integers(1, SPANS)) + 1):
        parent = draw(st.none() | st.integers(1, SPANS).filter(lambda n, own=number: n != own))
        match draw(st.sampled_from(["chat", "chat", "chat", "agent", "retrieval", "tool"])):
            case "retrieval":
                found.append(retrieval(number, ["doc"], end_s=draw(st.sampled_from([1, 2]))))
            case "tool":
                end_s, name = draw(st.sampled_from([1, 2])), draw(st.sampled_from(["", "f", "f"]))
                result = f"result {number}"
                found.append(tool(number, result, end_s=end_s, parent=parent or 1, name=name))
            case kind:
                for salt in range(draw(st.sampled_from([1, 1, 1, 2]))):
                    found.append(
                        span(
                            number,
                            parent=parent,
                            kind="invoke_agent" if kind == "agent" else "chat",
                            end_s=draw(st.sampled_from([1, 2, 3])),
                            model=draw(st.sampled_from(["", "m1", "m1", "m2"])),
                            usage=draw(st.sampled_from([None, (1, 2), (1, 2)])),
                            content=draw(contents()),
                            status=draw(st.sampled_from(["ok", "error"])),
                            wraps=draw(st.booleans()),
                            awaits_log=draw(st.booleans()),
                            duplicate_of=draw(st.sampled_from([None] * 4 + [7])),
                            salt=str(salt),
                            response_id=draw(st.sampled_from(["", "r1", "r1"])),
                            user_id=draw(st.sampled_from(["", "", "u1", "u2"])),
                        )
                    )
        found += [
            log(
                number,
                draw(contents()),
                at_s=draw(st.sampled_from([0.1, 0.2])),
                user_id=draw(st.sampled_from(["u3", "u4"])),
            )
            for _ in range(draw(st.sampled_from([0, 0, 1, 2])))
        ]
    return found


def without_evidence(found: dict[str, Operation]) -> dict[str, dict[str, object]]:
    return {
        key: operation.model_dump(exclude={"evidence", "evidence_state"})
        for key, operation in found.items()
    }


async def run(batches: list[list[Fragment]], pauses: list[float]) -> Bench:
    bench = Bench()
    waits = []
    for batch, pause in zip(batches, pauses, strict=True):
        waits.append(bench.send(*batch))
        await bench.clock.advance(pause)
    await bench.clock.advance(30)
    await asyncio.gather(*waits)
    return bench


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Fragment], list[list[Fragment]], list[float]]:
    fragments = draw(fragments_of_a_trace())
    order = draw(st.permutations(fragments))
    repeats = draw(st.lists(st.sampled_from(fragments), max_size=4))
    stream = [*order, *repeats]
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=4)))
    bounds = [0, *cuts, len(stream)]
    batches = [stream[a:b] for a, b in itertools.pairwise(bounds)]
    pauses = draw(
        st.lists(
            st.sampled_from([0.0, 0.4, 1.5, 11.0]), min_size=len(batches), max_size=len(batches)
        )
    )
    return fragments, batches, pauses


@settings(max_examples=120, deadline=None)
@given(deliveries())
def test_any_order_and_repetition_ends_with_the_same_newest_operations(
    delivery: tuple[list[Fragment], list[list[Fragment]], list[float]],
) -> None:
    fragments, batches, pauses = delivery
    at_once = asyncio.run(run([fragments], [0.0]))
    scattered = asyncio.run(run(batches, pauses))
    assert without_evidence(newest(scattered.outputs)) == without_evidence(newest(at_once.outputs))
    for operation in scattered.emitted:
        assert operation.revision == operation_revision(operation.fragments)
        assert list(operation.fragments) == sorted(operation.fragments)


@settings(max_examples=60, deadline=None)
@given(deliveries(), st.integers(0, 4), st.booleans())
def test_a_crash_anywhere_loses_nothing(
    delivery: tuple[list[Fragment], list[list[Fragment]], list[float]],
    survived: int,
    finished: bool,
) -> None:
    """Batches before the crash are committed and recalled; the others come to a new worker."""
    fragments, batches, pauses = delivery
    survived = min(survived, len(batches))

    async def crash() -> Bench:
        first = await run(batches[:survived], pauses[:survived])
        if finished and survived < len(batches):
            first.send(*batches[survived])  # emitted, perhaps, but never acknowledged
            await first.clock.advance(0.1)
        second = Bench(first.outputs)
        for batch in batches[:survived]:
            second.stage.recall(message(batch))
        waits = []
        for batch in batches[survived:]:
            waits.append(second.send(*batch))
            await second.clock.advance(0.1)
        await second.clock.advance(30)
        await asyncio.gather(*waits)
        return second

    at_once = asyncio.run(run([fragments], [0.0]))
    crashed = asyncio.run(crash())
    assert without_evidence(newest(crashed.outputs)) == without_evidence(newest(at_once.outputs))


@settings(max_examples=150, deadline=None)
@given(fragments_of_a_trace(), st.randoms())
def test_knowledge_only_grows(fragments: list[Fragment], random: object) -> None:
    """Each new fragment raises the revision of every span it changes, never lowers one."""
    state = TraceState((0, "acme", fragments[0].trace_id), evicted=False)
    before: dict[str, Operation] = {}
    for fragment in fragments:
        state.apply(fragment, 0.0)
        related = state.related(fragment.span_id)
        for entry in state.spans.values():
            operation = state.operation(entry, 1 << 20)
            if operation is None:
                continue
            old = before.get(entry.span_id)
            if old is not None:
                assert set(old.fragments) <= set(operation.fragments)
                hidden = {"evidence", "evidence_state"}
                same = old.model_dump(exclude=hidden) == operation.model_dump(exclude=hidden)
                assert same == (old.fragments == operation.fragments)
                assert same or entry.span_id in related
            before[entry.span_id] = operation


def test_single_message_logs_are_put_together_in_order_of_time() -> None:
    state = TraceState((0, "acme", span(1).trace_id), evicted=False)
    call = Content(output=(Message(role="assistant", parts=(Part(type="tool_call", text="{}"),)),))
    for fragment in (
        log(1, call, at_s=0.9),
        log(1, chat_content("second"), at_s=0.2),
        log(1, chat_content("first"), at_s=0.1),
        span(1),
    ):
        state.apply(fragment, 0.0)
    operation = state.operation(state.spans[span_id(1)], 0)
    assert operation is not None
    assert [path for path, _ in operation.content.parts()] == [
        "input/0/0",
        "input/1/0",
        "output/0/0",
    ]
    assert [text for _, text in operation.content.parts()] == ["first", "second", "{}"]
