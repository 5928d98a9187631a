"""The pipeline's promises: order of acks, isolation, retries, bounds, revocation, fail-stop."""

import asyncio
import contextlib
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.runtime.dead_letter_limits import DeadLetterLimitError
from processors.runtime.errors import FatalStageError, SkippedMessageError
from processors.runtime.memory import (
    FakeClock,
    MemoryOutputs,
    MemorySource,
    feed,
    run_stage,
    settle,
)
from processors.runtime.pipeline import MESSAGE_OVERHEAD_BYTES, Pipeline
from schemas.config import Config, RuntimeConfig
from schemas.metrics import REGISTRY
from schemas.protocols import History, Message
from tests.runtime.stages import TOPIC, ScriptedStage


def make(
    stage: ScriptedStage, runtime: RuntimeConfig | None = None, source: MemorySource | None = None
) -> tuple[Pipeline, MemoryOutputs, FakeClock]:
    outputs, clock = MemoryOutputs(), FakeClock()
    config = Config(runtime=runtime or RuntimeConfig(drain_s=0.05))
    return Pipeline(stage, outputs, config, clock, recall=source), outputs, clock


async def offer_all(pipeline: Pipeline, source: MemorySource) -> list[asyncio.Task[None]]:
    tasks = []
    for message in source.pending((TOPIC,)):
        tasks.append(asyncio.create_task(pipeline.offer(message, lambda m=message: source.ack(m))))
    await settle()
    return tasks


async def revoke(pipeline: Pipeline, clock: FakeClock) -> None:
    revoking = asyncio.create_task(pipeline.revoke([(TOPIC, 0)]))
    await clock.advance(10.0)
    await revoking


def filled(count: int, partitions: int = 1) -> MemorySource:
    source = MemorySource()
    for index in range(count):
        source.add(TOPIC, b"value-%d" % index, partition=index % partitions)
    return source


async def test_acks_wait_for_the_oldest_message() -> None:
    stage, source = ScriptedStage(gated={0}), filled(4)
    pipeline, _, _ = make(stage)
    await offer_all(pipeline, source)
    assert stage.finished == [(0, 1), (0, 2), (0, 3)]
    assert source.acked == []
    stage.gates[0].set()
    await settle()
    assert source.acked == [(TOPIC, 0, offset) for offset in range(4)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_any_completion_order_acks_in_offset_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 24))
    partitions = data.draw(st.integers(1, 3))
    offsets = st.sets(st.integers(0, count))
    stage = ScriptedStage(
        gated=data.draw(offsets),
        poison=data.draw(offsets),
        failures=data.draw(st.dictionaries(st.integers(0, count), st.integers(1, 3))),
    )
    source = filled(count, partitions)
    pipeline, outputs, clock = make(stage)
    await offer_all(pipeline, source)
    first_starts: dict[int, list[int]] = defaultdict(list)
    for partition, offset in stage.started:
        if offset not in first_starts[partition]:
            first_starts[partition].append(offset)
    assert all(offsets == sorted(offsets) for offsets in first_starts.values())
    for offset in data.draw(st.permutations(sorted(stage.gated))):
        stage.gates[offset].set()
        await clock.advance(1.0)
        done = set(stage.finished) | {
            (x.origin.partition, x.origin.offset) for x in outputs.letters
        }
        assert {(partition, offset) for _, partition, offset in source.acked} <= done
    await clock.advance(60.0)
    by_partition: dict[int, list[int]] = defaultdict(list)
    for _, partition, offset in source.acked:
        by_partition[partition].append(offset)
    assert all(offsets == list(range(len(offsets))) for offsets in by_partition.values())
    assert len(source.acked) == count
    assert len(outputs.letters) + len(stage.finished) == count
    assert pipeline.inflight_messages == pipeline.inflight_bytes == 0


async def test_poison_is_dead_lettered_alone_and_acked_after() -> None:
    stage, source = ScriptedStage(poison={1}), filled(3)
    pipeline, outputs, _ = make(stage)
    outputs.hold()
    await offer_all(pipeline, source)
    assert source.acked == [(TOPIC, 0, 0)]
    outputs.release()
    await settle()
    assert source.acked == [(TOPIC, 0, offset) for offset in range(3)]
    (letter,) = outputs.letters
    assert (letter.reason, letter.value, letter.origin.offset) == ("scripted", b"value-1", 1)
    assert letter.tenant == "default"


async def test_dead_letter_is_retried_without_processing_again() -> None:
    stage, source, outputs = ScriptedStage(poison={0}), filled(1), MemoryOutputs()
    outputs.fail_next(3)
    await run_stage(stage, source, outputs)
    assert stage.started == [(0, 0)]
    assert len(outputs.letters) == 1


async def test_retries_for_ever_with_growing_waits() -> None:
    stage, source = ScriptedStage(failures={0: 40}), filled(2)
    pipeline, _, clock = make(stage)
    await offer_all(pipeline, source)
    await clock.advance(1.0)
    early = len(stage.started)
    await clock.advance(1.0)
    assert len(stage.started) - early < early
    await clock.advance(1000.0)
    assert stage.finished == [(0, 1), (0, 0)]
    assert source.committed == {(TOPIC, 0): 2}


async def test_a_retry_is_a_sign_of_life_and_a_hang_is_not() -> None:
    stage, source = ScriptedStage(failures={0: 100}), filled(1)
    pipeline, _, clock = make(stage)
    await offer_all(pipeline, source)
    await clock.advance(100.0)
    assert pipeline.stalled_s() < 20
    hanging = ScriptedStage(gated={0})
    pipeline, _, clock = make(hanging)
    assert pipeline.stalled_s() == 0
    await offer_all(pipeline, filled(1))
    await clock.advance(300.0)
    assert pipeline.stalled_s() >= 180


@pytest.mark.parametrize("bound", ["messages", "bytes"])
async def test_offers_wait_for_room_and_ask_for_relief(bound: str) -> None:
    size = MESSAGE_OVERHEAD_BYTES + len(b"value-0")
    runtime = (
        RuntimeConfig(inflight_messages=2)
        if bound == "messages"
        else RuntimeConfig(inflight_bytes=2 * size + 1)
    )
    stage, source = ScriptedStage(gated=set(range(6))), filled(6)
    pipeline, _, _ = make(stage, runtime)
    offers = await offer_all(pipeline, source)
    assert pipeline.inflight_messages == 2
    assert stage.relieved > 0
    stage.gates[1].set()
    await settle()
    assert pipeline.inflight_messages == 2, "done but not acknowledged still counts"
    for gate in range(6):
        stage.gates[gate].set()
        await settle()
    assert all(offer.done() for offer in offers)
    assert len(source.acked) == 6


async def test_a_message_larger_than_the_bound_passes_alone() -> None:
    stage, source = ScriptedStage(), filled(3)
    pipeline, _, _ = make(stage, RuntimeConfig(inflight_bytes=1))
    await offer_all(pipeline, source)
    assert len(source.acked) == 3


async def test_revocation_drains_what_ends_in_time() -> None:
    stage, source = ScriptedStage(gated={0}), filled(2)
    pipeline, _, _ = make(stage, RuntimeConfig(drain_s=5))
    await offer_all(pipeline, source)
    revoking = asyncio.create_task(pipeline.revoke([(TOPIC, 0)]))
    await settle()
    stage.gates[0].set()
    await revoking
    assert len(source.acked) == 2
    assert stage.forgotten == [(TOPIC, 0)]


async def test_no_ack_outlives_its_assignment() -> None:
    stage, source = ScriptedStage(gated={0}), filled(3)
    pipeline, _, clock = make(stage)
    await offer_all(pipeline, source)
    await revoke(pipeline, clock)
    assert source.acked == []
    second: list[int] = []
    stage.gated = {1}
    for message in source.pending((TOPIC,)):
        await pipeline.offer(message, lambda m=message: second.append(m.offset))
    stage.gates[0].set()
    await settle()
    assert source.acked == []
    assert second == [0]
    stage.gates[1].set()
    await settle()
    assert second == [0, 1, 2]
    assert pipeline.inflight_messages == 0


async def test_revoked_work_is_not_retried() -> None:
    stage, source = ScriptedStage(failures={0: 1000}), filled(1)
    pipeline, _, clock = make(stage)
    await offer_all(pipeline, source)
    await revoke(pipeline, clock)
    await clock.advance(100)
    tries = len(stage.started)
    await clock.advance(100)
    assert len(stage.started) == tries
    assert pipeline.inflight_messages == 0


async def test_anything_unforeseen_stops_the_worker() -> None:
    stage, source = ScriptedStage(broken={1}, gated={0}), filled(4)
    pipeline, _, _ = make(stage)
    await offer_all(pipeline, source)
    assert isinstance(pipeline.fatal, ZeroDivisionError)
    assert pipeline.failed.is_set()
    stage.gates[0].set()
    await settle()
    assert source.acked == [], "nothing is acknowledged after a failure"
    with pytest.raises(FatalStageError):
        await pipeline.offer(source.log[(TOPIC, 0)][3], lambda: None)


async def test_failure_wakes_an_offer_that_waits_for_room() -> None:
    stage, source = ScriptedStage(gated={0}, broken={0}), filled(2)
    pipeline, _, _ = make(stage, RuntimeConfig(inflight_messages=1))
    offers = await offer_all(pipeline, source)
    stage.gates[0].set()
    await settle()
    assert isinstance(offers[1].exception(), FatalStageError)


@pytest.mark.parametrize("whole", [True, False], ids=["messages", "all parts of messages"])
async def test_a_run_of_dead_letters_halts_the_worker(whole: bool) -> None:
    dying = set(range(20))
    stage = ScriptedStage(poison=dying) if whole else ScriptedStage(dead=dying)
    source, outputs = filled(20), MemoryOutputs()
    runtime = RuntimeConfig(dead_letter_run_limit=10)
    with pytest.raises(DeadLetterLimitError):
        await run_stage(stage, source, outputs, config=Config(runtime=runtime))
    assert len(outputs.letters) <= 9
    assert len(source.acked) <= 9


async def test_a_share_of_dead_letters_halts_the_worker() -> None:
    stage, source = ScriptedStage(poison=set(range(0, 5000, 2))), filled(2100)
    runtime = RuntimeConfig(inflight_messages=256)
    with pytest.raises(DeadLetterLimitError):
        await run_stage(stage, source, MemoryOutputs(), config=Config(runtime=runtime))
    assert 1000 <= len(source.acked) < 2100


async def test_a_halted_worker_stays_and_does_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who restarted would dead-letter as many again, and again."""
    stage, source = ScriptedStage(poison=set(range(40)) - {6}, gated={6, 7}), filled(40)
    pipeline, outputs, clock = make(
        stage, RuntimeConfig(dead_letter_run_limit=10, inflight_messages=20, drain_s=1000)
    )
    outputs.fail_next(2)
    offers = await offer_all(pipeline, source)
    await clock.advance(1.0)
    assert isinstance(pipeline.halted, DeadLetterLimitError)
    letters, acked = len(outputs.letters), list(source.acked)
    assert letters < 10
    for gate in (6, 7):
        stage.gates[gate].set()
    await clock.advance(10_000)
    assert (len(outputs.letters), source.acked) == (letters, acked)
    assert not any(offer.done() for offer in offers[20:]), "nothing more is read"
    assert pipeline.fatal is None
    assert not pipeline.failed.is_set()
    assert pipeline.stalled_s() == 0
    assert [record.message for record in caplog.records if record.levelname == "CRITICAL"] == [
        "stage scripted halts: 10 dead letters in a row. It takes nothing more until it is "
        "restarted: see docs/runbooks/DeadLetters.md"
    ]
    assert REGISTRY.get_sample_value("streamgauge_stage_halted", {"stage": "scripted"}) == 1
    await asyncio.wait_for(pipeline.revoke([(TOPIC, 0)]), 1)
    await asyncio.wait_for(pipeline.assigned(TOPIC, 0, 0), 1)
    await asyncio.wait_for(pipeline.stop(), 1)
    assert stage.adopted == [(TOPIC, 0)]
    for offer in offers:
        offer.cancel()


def at(source: MemorySource, topic: str, seconds: float, value: bytes = b"x") -> Message:
    return source.add(topic, value, timestamp_ms=round(seconds * 1000))


async def test_history_is_recalled_once_before_the_first_message() -> None:
    history = History(topics=(TOPIC, "genai.alert_transitions.v1"), window_s=120)
    stage, source = ScriptedStage(history=history), MemorySource()
    for second in (0, 100, 200, 300, 400):
        at(source, TOPIC, second)
    at(source, "genai.alert_transitions.v1", 50)
    at(source, "genai.alert_transitions.v1", 350)
    source.committed[(TOPIC, 0)] = 3
    outputs, clock = MemoryOutputs(), FakeClock()
    pipeline = await run_stage(stage, source, outputs, clock=clock)
    assert stage.recalled == [(TOPIC, 0, 1), (TOPIC, 0, 2), ("genai.alert_transitions.v1", 0, 1)]
    assert stage.started == [(0, 3), (0, 4)]
    at(source, TOPIC, 500)
    await feed(pipeline, source, source.pending((TOPIC,)), clock)
    assert len(stage.recalled) == 3
    await pipeline.revoke([(TOPIC, 0)])
    at(source, TOPIC, 510)
    await feed(pipeline, source, source.pending((TOPIC,)), clock)
    assert stage.recalled[3:] == [(TOPIC, 0, 4), (TOPIC, 0, 5)]


async def test_history_keeps_the_newest_bytes() -> None:
    stage = ScriptedStage(history=History(topics=(TOPIC,), window_s=1000, max_bytes=25))
    source = MemorySource()
    for second in range(5):
        at(source, TOPIC, second, b"0123456789")
    source.committed[(TOPIC, 0)] = 4
    await run_stage(stage, source, MemoryOutputs())
    assert [offset for _, _, offset in stage.recalled] == [2, 3]


async def test_a_restart_from_the_commit_loses_nothing() -> None:
    source, finished = filled(50, partitions=2), set()
    for crash_at in (7, 15, 22, None):
        stage = ScriptedStage(broken=set() if crash_at is None else {crash_at})
        with contextlib.suppress(ZeroDivisionError):
            await run_stage(stage, source, MemoryOutputs())
        finished |= set(stage.finished)
    assert finished == {(partition, offset) for partition in (0, 1) for offset in range(25)}
    assert source.committed == {(TOPIC, 0): 25, (TOPIC, 1): 25}


async def test_a_message_offered_again_in_one_assignment_is_ignored() -> None:
    stage, source = ScriptedStage(), filled(3)
    pipeline, _, _ = make(stage, source=source)
    await offer_all(pipeline, source)
    await pipeline.offer(source.log[(TOPIC, 0)][1], lambda: None)
    await settle()
    assert stage.started == [(0, 0), (0, 1), (0, 2)]


async def test_a_gap_passes_only_if_no_message_lies_in_it() -> None:
    stage, source = ScriptedStage(), filled(4)
    log = source.log[(TOPIC, 0)]
    pipeline, _, _ = make(stage, source=source)
    await pipeline.offer(log[0], lambda: None)
    marker = log.pop(1)
    await pipeline.offer(log[1], lambda: None)
    await settle()
    assert stage.finished == [(0, 0), (0, 2)]
    log.insert(1, marker)
    second, _, _ = make(ScriptedStage(), source=source)
    await second.offer(log[0], lambda: None)
    with pytest.raises(FatalStageError):
        await second.offer(log[2], lambda: None)
    assert isinstance(second.fatal, SkippedMessageError)


async def test_an_offer_that_waited_through_a_revocation_is_dropped() -> None:
    stage, source = ScriptedStage(gated={0}), filled(3)
    pipeline, _, clock = make(stage, RuntimeConfig(inflight_messages=1))
    await offer_all(pipeline, source)
    await revoke(pipeline, clock)
    stage.gates[0].set()
    await settle()
    assert stage.started == [(0, 0)]
    assert pipeline.inflight_messages == 0


async def test_assignment_recalls_even_if_no_message_comes() -> None:
    stage, source = ScriptedStage(history=History(topics=(TOPIC,), window_s=60)), filled(3)
    pipeline, _, _ = make(stage, source=source)
    await pipeline.assigned(TOPIC, 0, 2)
    assert stage.recalled == [(TOPIC, 0, 0), (TOPIC, 0, 1)]
    source.add(TOPIC, b"later")
    with pytest.raises(FatalStageError):
        await pipeline.offer(source.log[(TOPIC, 0)][3], lambda: None)
