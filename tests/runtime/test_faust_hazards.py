"""What the installed Faust does that would lose data, and what we do instead.

The first test of each pair describes Faust itself: if an upgrade mends a hazard (or moves it), it
fails, and the decision behind our shape should be looked at again. The second one is our answer.
"""

import asyncio
import contextlib
import gc
import inspect
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.events import Event
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from intervaltree import IntervalTree

from processors.runtime import faust_runner
from processors.runtime.assignments import Assignments
from processors.runtime.clock import SystemClock
from processors.runtime.faust_runner import (
    STREAM_BUFFER_MESSAGES,
    FaustRunner,
    OrderedConsumer,
    OrderedTransport,
    app_settings,
)
from processors.runtime.history import KafkaHistory
from processors.runtime.life import note_life
from processors.runtime.memory import MemoryOutputs
from processors.runtime.pipeline import Pipeline
from processors.runtime.reading import POLL_MESSAGES
from processors.runtime.watchdog import StuckError, Watchdog
from schemas.config import Config
from schemas.protocols import Message
from tests.runtime.stages import TOPIC, ScriptedStage

PARTITION = TP(TOPIC, 0)
GAP_OF_ONE = [
    (2585, [2586, 2587, 2588], 2589),
    (None, [5, 6, 7], 8),
    (0, [3, 4], 5),
]


class RecordingConsumer:
    """Stands where Faust keeps its consumer; records what would be committed."""

    def __init__(self) -> None:
        # The attributes that Faust's compiled stream reads of a consumer.
        self._acked: dict[TP, list[int]] = defaultdict(list)
        self._acked_index: dict[TP, set[int]] = defaultdict(set)
        self._committed_offset: dict[TP, int | None] = defaultdict(lambda: None)
        self._unacked_messages: Any = weakref.WeakSet()
        self._n_acked = 0
        self._waiting_for_ack = None
        self.app: Any = None

    @property
    def unacked(self) -> Any:
        return self._unacked_messages

    @property
    def acked(self) -> list[int]:
        return self._acked[PARTITION]

    def ack(self, message: Any) -> bool:
        if message.acked:
            return False
        message.acked = True
        self._acked[message.tp].append(message.offset)
        return True


def make_stream() -> tuple[Any, RecordingConsumer, Any]:
    app = faust.App(
        "hazard", broker="kafka://127.0.0.1:1", value_serializer="raw", web_enabled=False
    )
    consumer = app.consumer = RecordingConsumer()
    consumer.app = app
    app.flow_control.resume()
    topic = app.topic(TOPIC, value_type=bytes, value_serializer="raw")
    app.topics._acking_topics.add(TOPIC)
    stream = app.stream(topic)

    def put(first: int, stop: int) -> None:
        for offset in range(first, stop):
            message = ConsumerMessage(
                TOPIC, 0, offset, 0.0, 0, None, None, b"x", None, 0, 0, PARTITION
            )
            message.generation_id = app.consumer_generation_id
            message.refcount = 1
            stream.channel.queue.put_nowait(Event(app, None, b"x", None, message))

    return stream, consumer, put


async def agent(open_stream: Callable[[], Any], reaction: str) -> None:
    """An agent's body, and what Faust does with its exception: note it and go on."""

    async def body() -> None:
        async for _ in open_stream():
            if reaction == "raise":
                raise RuntimeError("the store is away")
            await asyncio.sleep(60)

    with contextlib.suppress(RuntimeError):
        await body()


async def run_agent(open_stream: Callable[[], Any], reaction: str) -> "asyncio.Task[None]":
    task = asyncio.ensure_future(agent(open_stream, reaction))
    await asyncio.sleep(0.2)
    gc.collect()
    await asyncio.sleep(0.3)
    return task


@pytest.mark.parametrize(("committed", "acked", "wrong"), GAP_OF_ONE)
def test_a_faust_commits_past_an_unacknowledged_message(
    committed: int | None, acked: list[int], wrong: int
) -> None:
    state = SimpleNamespace(
        _gap=defaultdict(IntervalTree),
        _acked=defaultdict(list, {PARTITION: list(acked)}),
        _acked_index=defaultdict(set),
        _committed_offset=defaultdict(lambda: None, {PARTITION: committed}),
    )
    assert Consumer._new_offset(state, PARTITION) == wrong


async def test_a_ours_commits_only_what_was_acknowledged_in_order() -> None:
    app = faust.App("ours", broker="kafka://127.0.0.1:1", web_enabled=False)
    app.transport = OrderedTransport(app.conf.broker_consumer, app)
    consumer = app.consumer
    assert isinstance(consumer, OrderedConsumer)
    app.topics._acking_topics.add(TOPIC)
    assert consumer._new_offset(PARTITION) is None
    for offset in (7, 8, 12):
        consumer.ack(
            ConsumerMessage(TOPIC, 0, offset, 0.0, 0, None, None, b"", None, 0, 0, PARTITION)
        )
        assert consumer._filter_committable_offsets([PARTITION]) == {PARTITION: offset + 1}
        assert list(consumer._filter_tps_with_pending_acks()) == [PARTITION]
    consumer._committed_offset[PARTITION] = 13
    assert consumer._filter_committable_offsets([PARTITION]) == {}


class RefusingThread:
    """Faust's consumer thread while the group rebalances: the broker refuses the commit."""

    def __init__(self) -> None:
        self.refused = True

    def assignment(self) -> set[TP]:
        return {PARTITION}

    async def commit(self, _offsets: Any) -> bool:
        return not self.refused


def make_acked(driver: Any, acked: int) -> tuple[Any, RefusingThread]:
    """A consumer of ours, or Faust's own, with one message acknowledged."""
    app = faust.App("refused", broker="kafka://127.0.0.1:1", web_enabled=False)
    app.transport = driver(app.conf.broker_consumer, app)
    app.topics._acking_topics.add(TOPIC)

    async def nothing_to_flush() -> None: ...

    app.producer = SimpleNamespace(flush=nothing_to_flush)
    consumer = app.consumer
    thread = consumer._thread = RefusingThread()
    consumer.ack(ConsumerMessage(TOPIC, 0, acked, 0.0, 0, None, None, b"", None, 0, 0, PARTITION))
    return consumer, thread


async def test_j_faust_notes_a_refused_commit_as_made() -> None:
    consumer, _ = make_acked(Transport, 7)
    assert not await consumer.force_commit()
    assert consumer._committed_offset[PARTITION] == 8


async def test_j_ours_commits_again_what_was_refused() -> None:
    consumer, thread = make_acked(OrderedTransport, 7)
    assert not await consumer.force_commit()
    thread.refused = False
    assert await consumer.force_commit()
    assert consumer._committed_offset[PARTITION] == 8
    assert not await consumer.force_commit(), "nothing is left to commit"


async def test_b_take_acks_an_unwritten_batch_when_stopped() -> None:
    stream, consumer, put = make_stream()
    put(0, 4)
    task = await run_agent(lambda: stream.take(4, within=0.1), "hang")
    assert consumer.acked == []
    await asyncio.wait_for(stream.stop(), 5)
    task.cancel()
    assert consumer.acked == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "after_raise", "later"),
    [
        ("take", [0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7]),
        ("noack_take", [], [4, 5, 6, 7]),
        ("noack().noack_take", [], []),
    ],
)
async def test_c_d_e_after_an_exception_a_drainer_swallows_later_messages(
    kind: str, after_raise: list[int], later: list[int]
) -> None:
    stream, consumer, put = make_stream()
    if kind == "noack().noack_take":
        stream = stream.noack()
    put(0, 4)
    await run_agent(
        lambda: stream.take(4, 0.1) if kind == "take" else stream.noack_take(4, 0.1), "raise"
    )
    assert consumer.acked == after_raise
    put(4, 8)
    await asyncio.sleep(0.3)
    assert consumer.acked == later, "acknowledged although nobody reads"
    assert stream.channel.queue.qsize() == 0, "swallowed although nobody reads"
    await asyncio.wait_for(stream.stop(), 5)


@pytest.mark.parametrize("reaction", ["raise", "hang"])
async def test_b_to_e_ours_acknowledges_nothing_by_itself(reaction: str) -> None:
    stream, consumer, put = make_stream()
    put(0, 4)
    task = await run_agent(lambda: stream.noack().events(), reaction)
    put(4, 8)
    await asyncio.sleep(0.2)
    assert consumer.acked == []
    await asyncio.wait_for(stream.stop(), 5)
    task.cancel()
    gc.collect()
    await asyncio.sleep(0.1)
    assert consumer.acked == []


def test_c_no_other_way_of_reading_a_stream_is_used() -> None:
    source = inspect.getsource(faust_runner)
    for hazard in (
        ".take(",
        "take_events",
        "noack_take",
        "send_soon",
        "ThreadedProducer",
        "Table(",
    ):
        assert hazard not in source


def make_runner(config: Config) -> FaustRunner:
    stage, clock = ScriptedStage(), SystemClock()
    history = KafkaHistory(config, clock)
    pipeline = Pipeline(stage, MemoryOutputs(), config, clock)
    return FaustRunner(stage, pipeline, Assignments(pipeline, history, clock, "g"), config, "i-0")


async def test_f_bytes_reach_the_stage_undecoded() -> None:
    app = make_runner(Config())._app
    (agent,) = app.agents.values()
    junk = b"\xff\x00{not json"
    message = ConsumerMessage(TOPIC, 0, 7, 1.5, 0, [("h", b"v")], junk, junk, None, 0, 0, PARTITION)
    event = await agent.channel.decode(message, propagate=True)
    assert (event.key, event.value) == (junk, junk)


async def test_g_h_settings_leave_nothing_to_a_default_that_loses() -> None:
    config = Config()
    app = make_runner(config)._app
    conf = app.conf
    assert conf.id == "streamgauge.scripted"
    assert conf.consumer_group_instance_id == "i-0"
    assert not conf.producer_threaded
    assert conf.processing_guarantee.value == "at_least_once"
    assert not conf.stream_wait_empty
    assert conf.stream_buffer_maxsize == STREAM_BUFFER_MESSAGES <= 256
    assert conf.broker_max_poll_records == POLL_MESSAGES <= 16
    assert conf.broker_max_poll_interval > 7 * 86_400
    assert conf.table_standby_replicas == 0
    assert conf.topic_disable_leader
    assert not conf.topic_allow_declare
    assert not conf.web_enabled
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.broker_session_timeout == config.kafka.session_timeout_s
    assert not app.tables.changelog_topics
    assert isinstance(app.transport, OrderedTransport)
    (agent,) = app.agents.values()
    assert agent.concurrency == 1
    assert agent.supervisor_strategy.__name__ == "CrashingSupervisor"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_credentials_are_those_of_our_other_clients(protocol: Any) -> None:
    config = Config()
    config.kafka.security_protocol = protocol
    config.kafka.sasl_username = "user"
    credentials = app_settings("traces", config, "")["broker_credentials"]
    if protocol == "PLAINTEXT":
        assert credentials is None
    else:
        assert credentials.protocol.value == protocol
    if protocol.startswith("SASL"):
        assert (credentials.username, credentials.mechanism.value) == ("user", "SCRAM-SHA-512")


class Ends:
    """Log ends, as the watchdog asks for them."""

    def __init__(self, ends: dict[tuple[str, int], int]) -> None:
        self.ends = ends
        self.kept = True

    async def end_offsets(self, _partitions: Any) -> dict[tuple[str, int], int]:
        return self.ends

    async def holds_any(self, *_window: Any) -> bool:
        return self.kept


async def test_i_a_consumer_that_dies_silently_is_noticed() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 5})
    watchdog = Watchdog(pipeline, ends, stuck_s=0.05)  # type: ignore[arg-type]
    for _ in range(3):
        await watchdog.check()
        await asyncio.sleep(0.03)
    ends.ends[(TOPIC, 0)] = 6
    await watchdog.check()
    await asyncio.sleep(0.06)
    with pytest.raises(StuckError):
        await watchdog.check()


@pytest.mark.parametrize("caught_up", [True, False], ids=["all taken", "waits its turn"])
async def test_i_a_partition_that_stands_still_while_others_move(caught_up: bool) -> None:
    stage = ScriptedStage(gated=set(range(100)))
    pipeline = Pipeline(stage, MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 6, (TOPIC, 1): 100})
    watchdog = Watchdog(
        pipeline,
        ends,  # type: ignore[arg-type]
        stuck_s=0.1,
        caught_up_s=lambda: time.monotonic() if caught_up else float("-inf"),
    )

    async def others_move() -> None:
        for offset in range(12):
            await pipeline.offer(Message(TOPIC, 1, offset, 0, None, b""), lambda: None)
            assert pipeline.inflight_messages
            await watchdog.check()
            await asyncio.sleep(0.02)

    if caught_up:
        with pytest.raises(StuckError, match=r"\[0\] stands at 5 of 6"):
            await others_move()
    else:
        await others_move()
    await pipeline.offer(Message(TOPIC, 0, 5, 0, None, b""), lambda: None)
    await watchdog.check()


async def test_i_what_retention_took_is_passed_over() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 9})
    ends.kept = False
    watchdog = Watchdog(pipeline, ends, stuck_s=0.05)  # type: ignore[arg-type]
    await watchdog.check()
    await asyncio.sleep(0.06)
    await watchdog.check()
    assert pipeline.next_offsets() == {(TOPIC, 0): 9}


async def test_i_a_long_recall_is_no_death_unless_it_shows_no_life() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    pipeline.preparing = True
    await pipeline.assigned(TOPIC, 0, 5)
    watchdog = Watchdog(pipeline, Ends({(TOPIC, 0): 9}), stuck_s=0.05)  # type: ignore[arg-type]
    for _ in range(4):
        await watchdog.check()
        note_life(time.monotonic())
        await asyncio.sleep(0.03)
    await asyncio.sleep(0.06)
    with pytest.raises(StuckError):
        await watchdog.check()


async def test_i_messages_in_flight_without_progress_are_noticed() -> None:
    stage = ScriptedStage(gated={0})
    pipeline = Pipeline(stage, MemoryOutputs(), Config(), SystemClock())
    await pipeline.offer(Message(TOPIC, 0, 0, 0, None, b""), lambda: None)
    watchdog = Watchdog(pipeline, Ends({}), stuck_s=0.05)  # type: ignore[arg-type]
    await watchdog.check()
    await asyncio.sleep(0.1)
    with pytest.raises(StuckError):
        await watchdog.check()
    stage.gates[0].set()
    await asyncio.sleep(0.01)
    await watchdog.check()
