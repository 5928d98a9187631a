"""Both runners, outputs, history and topics on the real (embedded) broker."""

import asyncio
import dataclasses
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from processors.runtime.admin import TopicError, create_topics
from processors.runtime.clock import SystemClock
from processors.runtime.history import KafkaHistory
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import POLL_MESSAGES
from processors.runtime.watchdog import StuckError
from processors.runtime.worker import Worker
from schemas.config import Config
from schemas.dead_letters import CUT_HEADER, decode_headers, replay_headers
from schemas.encoding import decode_batch
from schemas.protocols import DeadLetter, History, Message, PoisonError
from schemas.records import LedgerRow
from schemas.topics import ATTEMPTS_HEADER, DEAD_LETTERS, LEDGER, TIMESTAMP_HEADER
from stack.broker import Broker
from tests.runtime.harness import (
    PARTITIONS,
    WorkerProcess,
    committed,
    fresh,
    make_config,
    make_topic,
    peak_bytes,
    produce_compressible,
    running,
    until,
)
from tests.runtime.stages import ScriptedStage

RUNNERS = ["faust", "aiokafka"]


@pytest.fixture(params=RUNNERS)
def config(request: Any, broker: Broker, tmp_path: Path) -> Config:
    return make_config(broker.bootstrap, tmp_path, request.param)


@pytest.fixture
def faust_config(broker: Broker, tmp_path: Path) -> Config:
    return make_config(broker.bootstrap, tmp_path, "faust")


@pytest.fixture
def plain(broker: Broker, tmp_path: Path) -> Config:
    return make_config(broker.bootstrap, tmp_path, "aiokafka")


async def produce(config: Config, topic: str, count: int, first: int = 0) -> None:
    outputs = KafkaOutputs(config)
    await asyncio.gather(
        *(
            outputs.produce(topic, b"%d" % number, partition=number % PARTITIONS)
            for number in range(first, first + count)
        )
    )
    await outputs.stop()


def ledger_row(number: int, tenant: str = "t") -> LedgerRow:
    return LedgerRow(
        tenant=tenant, stage="s", topic="x", partition=0, offset=number, timestamp_ms=0,
        items_in=1, items_out=1, filtered=0, dead=0,
    )  # fmt: skip


async def read_all(config: Config, topic: str, since: dict[int, int]) -> list[Message]:
    history = KafkaHistory(config, SystemClock())
    everything = History(window_s=10**6)
    found: list[Message] = []
    for partition in range(PARTITIONS):
        now_ms = int(time.time() * 1000)
        async for message in history.read(topic, partition, None, now_ms, everything):
            if message.offset >= since.get(partition, 0):
                found.append(message)
    return found


async def test_a_message_too_large_to_be_sent_again_does_not_stop_the_worker(
    plain: Config,
) -> None:
    """A broker limits compressed bytes: what comes may be larger than what we may send."""
    narrow = plain.kafka.model_copy(update={"max_message_bytes": 100_000})
    config = plain.model_copy(update={"kafka": narrow})
    topic = await make_topic(config)
    await create_topics(plain)
    before = {m.partition: m.offset + 1 for m in await read_all(config, DEAD_LETTERS.name, {})}
    wide = plain.kafka.model_copy(update={"max_message_bytes": 4 << 20})
    outputs = KafkaOutputs(plain.model_copy(update={"kafka": wide}))
    await outputs.produce(topic, b"z" * 1_000_000, b"k" * 200_000, partition=0)
    await outputs.stop()
    stage = ScriptedStage(name=fresh("large"), topics=(topic,), poison={0})
    async with running(stage, config):
        await until(lambda: len(stage.started) == 1)
        await asyncio.sleep(0.5)
    assert await committed(config, stage.name, topic) == 1
    (letter,) = await read_all(config, DEAD_LETTERS.name, before)
    assert letter.header(CUT_HEADER) == "1000000"
    assert letter.value == b"z" * 50_000
    assert decode_headers(letter).origin_topic == topic


async def test_one_app_per_stage_each_sees_every_offset(faust_config: Config) -> None:
    config = faust_config
    topic = await make_topic(config, "otlp")
    traces = ScriptedStage(name=fresh("traces"), topics=(topic,))
    operations = ScriptedStage(name=fresh("operations"), topics=(topic,))
    async with running(operations, config):
        async with running(traces, config):
            await produce(config, topic, 40)
            await until(lambda: len(traces.finished) == len(operations.finished) == 40)
        await produce(config, topic, 40, first=40)
        await until(lambda: len(operations.finished) == 80)
        assert len(traces.finished) == 40, "traces is stopped, operations goes on"
    assert await committed(config, operations.name, topic) == 80
    again = dataclasses.replace(traces, started=[], finished=[])
    async with running(again, config):
        await until(lambda: len(again.finished) >= 40)
        await asyncio.sleep(0.2)
    assert sorted(traces.finished + again.finished) == sorted(operations.finished)


async def test_poison_on_the_broker_goes_aside_and_the_line_goes_on(config: Config) -> None:
    topic = await make_topic(config)
    await create_topics(config)
    before = {m.partition: m.offset + 1 for m in await read_all(config, DEAD_LETTERS.name, {})}
    stage = ScriptedStage(name=fresh("poisoned"), topics=(topic,), poison={3})
    async with running(stage, config):
        await produce(config, topic, 40)
        await until(lambda: len(stage.finished) == 40 - PARTITIONS)
        await asyncio.sleep(0.5)
    assert await committed(config, stage.name, topic) == 40
    letters = await read_all(config, DEAD_LETTERS.name, before)
    assert {decode_headers(m).origin_partition for m in letters} == set(range(PARTITIONS))
    assert {(decode_headers(m).stage, decode_headers(m).reason) for m in letters} == {
        (stage.name, "scripted")
    }


async def test_messages_in_flight_at_a_stop_are_delivered_again(config: Config) -> None:
    topic = await make_topic(config)
    stage = ScriptedStage(name=fresh("stopped"), topics=(topic,), gated={5})
    async with running(stage, config):
        await produce(config, topic, 40)
        await until(lambda: len(stage.finished) == 36)
    assert await committed(config, stage.name, topic) == 5 * PARTITIONS
    again = ScriptedStage(name=stage.name, topics=(topic,))
    async with running(again, config):
        await until(lambda: len(again.finished) == 20)
    assert sorted(set(stage.finished) | set(again.finished)) == [
        (partition, offset) for partition in range(PARTITIONS) for offset in range(10)
    ]


async def test_a_broken_stage_fails_its_worker_and_commits_nothing_more(
    faust_config: Config,
) -> None:
    config = faust_config
    topic = await make_topic(config)
    stage = ScriptedStage(name=fresh("broken"), topics=(topic,), broken={2})
    async with running(stage, config) as worker:
        await produce(config, topic, 40)
        await asyncio.wait_for(worker.pipeline.failed.wait(), 20)
        await asyncio.sleep(0.5)
    assert isinstance(worker.pipeline.fatal, ZeroDivisionError)
    assert await committed(config, stage.name, topic) <= 2 * PARTITIONS


async def test_the_first_message_comes_quickly_and_in_time(config: Config) -> None:
    topic = await make_topic(config)
    delays_ms: list[float] = []

    class Timed(ScriptedStage):
        async def process(self, message: Message) -> None:
            delays_ms.append((time.time() - float(message.value or b"0")) * 1000)

    outputs = KafkaOutputs(config)
    async with running(Timed(name=fresh("timed"), topics=(topic,)), config):
        for number in range(24):
            value = str(time.time()).encode()
            await outputs.produce(topic, value, partition=number % PARTITIONS)
            await asyncio.sleep(0.03)
        await until(lambda: len(delays_ms) == 24)
    await outputs.stop()
    # Typically 30 ms; a fetch with Faust's own wait would show as 1500.
    assert sorted(delays_ms)[len(delays_ms) // 2] < 500


async def test_a_backlog_that_compresses_well_is_read_a_few_messages_at_a_time(
    config: Config,
) -> None:
    topic, count, size = await make_topic(config), 48, 4 << 20
    await produce_compressible(config, topic, count, size)
    config.runtime.inflight_bytes = size
    stage = ScriptedStage(name=fresh("inflated"), topics=(topic,), gated={0})
    with peak_bytes() as peak:
        async with running(stage, config):
            await until(lambda: len(stage.started) == 1)
            await asyncio.sleep(2.0)
            stage.gates[0].set()
            await until(lambda: len(stage.finished) == count)
        # Those of a poll, those that wait for one, and copies of some on their way.
        assert peak() < (2 * POLL_MESSAGES + 6) * size < count * size / 2


async def test_history_by_time_and_before_an_offset(plain: Config) -> None:
    topic = await make_topic(plain)
    outputs = KafkaOutputs(plain)
    for number in range(3):
        await outputs.produce(topic, b"%d" % number, partition=1)
    await asyncio.sleep(1.1)
    for number in range(3, 6):
        await outputs.produce(topic, b"%d" % number, partition=1)
    await outputs.stop()
    history = KafkaHistory(plain, SystemClock())

    async def offsets(
        partition: int, before: int | None, window_s: float, **more: int
    ) -> list[int]:
        wanted = History(window_s=window_s, **more)
        now_ms = int(time.time() * 1000)
        found = history.read(topic, partition, before, now_ms, wanted)
        return [message.offset async for message in found]

    assert await offsets(1, None, 60) == [0, 1, 2, 3, 4, 5]
    assert await offsets(1, 5, 60) == [0, 1, 2, 3, 4]
    assert await offsets(1, 5, 0.9) == [3, 4], "by the time of the last message before"
    assert await offsets(1, 3, 0.9) == [0, 1, 2]
    assert await offsets(1, 5, 60, max_bytes=2) == [3, 4]
    assert await offsets(1, 0, 60) == []
    assert await offsets(2, None, 60) == []
    await asyncio.sleep(1.0)
    assert await offsets(1, None, 0.1) == [], "a timestamp of -1 means none"
    assert await history.holds_any(topic, 1, 2, 4)
    assert not await history.holds_any(topic, 2, 0, 4)
    assert await history.end_offsets([(topic, 1), (topic, 2)]) == {(topic, 1): 6, (topic, 2): 0}


async def test_outputs_batch_and_keep_order(plain: Config) -> None:
    await create_topics(plain)
    since = {m.partition: m.offset + 1 for m in await read_all(plain, LEDGER.name, {})}
    plain.runtime.batch_bytes = 4000
    outputs = KafkaOutputs(plain)
    rows = [ledger_row(number) for number in range(200)]
    await asyncio.gather(*(outputs.emit(LEDGER.name, 2, row) for row in rows))
    await outputs.stop()
    messages = await read_all(plain, LEDGER.name, since)
    assert 5 < len(messages) < 60
    assert all(len(message.value or b"") <= 4000 for message in messages)
    assert {message.header("streamgauge-schema") for message in messages} == {"ledger/1"}
    found = [row for message in messages for row in decode_batch(LedgerRow, message.value)]
    assert found == rows


async def test_a_lone_record_waits_no_longer_than_the_linger(plain: Config) -> None:
    await create_topics(plain)
    outputs = KafkaOutputs(plain)
    await outputs.emit(LEDGER.name, 0, ledger_row(0))
    began = time.monotonic()
    await outputs.emit(LEDGER.name, 0, ledger_row(1))
    assert 0.04 < time.monotonic() - began < 0.5
    await outputs.stop()


async def test_a_record_above_the_cap_is_poison_and_its_neighbours_pass(plain: Config) -> None:
    await create_topics(plain)
    plain.kafka.max_message_bytes = 10_000
    outputs = KafkaOutputs(plain)
    results = await asyncio.gather(
        outputs.emit(LEDGER.name, 0, ledger_row(1)),
        outputs.emit(LEDGER.name, 0, ledger_row(2, tenant="x" * 20_000)),
        outputs.emit(LEDGER.name, 0, ledger_row(3)),
        return_exceptions=True,
    )
    await outputs.stop()
    assert [type(result) for result in results] == [type(None), PoisonError, type(None)]


async def test_eight_mebibytes_pass(plain: Config) -> None:
    topic = await make_topic(plain)
    outputs = KafkaOutputs(plain)
    value = bytes(range(256)) * (8 << 12)
    await outputs.produce(topic, value, partition=0)
    await outputs.stop()
    (message,) = await read_all(plain, topic, {})
    assert message.value == value


async def test_a_dead_letter_keeps_the_original(plain: Config) -> None:
    await create_topics(plain)
    since = {m.partition: m.offset + 1 for m in await read_all(plain, DEAD_LETTERS.name, {})}
    origin = Message("otlp_spans", 3, 77, 1234, b"key", b"\xff\x00", (("h", b"\xfe"),))
    letter = DeadLetter(
        origin,
        "operations",
        "utf8",
        "PoisonError",
        b"\xff",
        "acme",
        "ab",
        "cd",
        attempts=2,
        items=5,
    )
    outputs = KafkaOutputs(plain)
    await outputs.dead_letter(letter)
    await outputs.stop()
    (message,) = await read_all(plain, DEAD_LETTERS.name, since)
    assert (message.key, message.value) == (b"key", b"\xff")
    assert replay_headers(message, "otlp_spans", 2) == [
        ("h", b"\xfe"), (TIMESTAMP_HEADER, b"1234"), (ATTEMPTS_HEADER, b"2")
    ]  # fmt: skip
    assert dataclasses.asdict(decode_headers(message)) == {
        "stage": "operations", "reason": "utf8", "error_class": "PoisonError", "tenant": "acme",
        "trace_id": "ab", "span_id": "cd", "origin_topic": "otlp_spans", "origin_partition": 3,
        "origin_offset": 77, "origin_timestamp_ms": 1234, "attempts": 2, "items": 5,
    }  # fmt: skip


async def test_an_id_of_megabytes_is_cut_from_a_dead_letter(plain: Config) -> None:
    """A sender may have put anything there."""
    await create_topics(plain)
    since = {m.partition: m.offset + 1 for m in await read_all(plain, DEAD_LETTERS.name, {})}
    plain.kafka.max_message_bytes = 100_000
    origin = Message("otlp_spans", 3, 78, 1234, None, b"x")
    letter = DeadLetter(
        origin, "operations", "invalid_trace_id", "PoisonError", b"x" * 200_000, "acme",
        "ab" * 300_000, "cd" * 300_000,
    )  # fmt: skip
    outputs = KafkaOutputs(plain)
    await outputs.dead_letter(letter)
    await outputs.stop()
    (message,) = await read_all(plain, DEAD_LETTERS.name, since)
    said = decode_headers(message)
    assert (said.trace_id, said.span_id) == ("ab" * 16, "cd" * 8)
    assert sum(len(value) for _, value in message.headers) < 1000


async def test_topics_are_created_once_and_verified(plain: Config) -> None:
    await create_topics(plain)
    await create_topics(plain)
    plain.kafka.partitions = PARTITIONS + 1
    with pytest.raises(TopicError, match="otlp_spans has 4 partitions"):
        await create_topics(plain)


def status(worker: Worker, path: str) -> int:
    """What a probe hears."""
    port = worker.health._runner.addresses[0][1]  # type: ignore[union-attr]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def probes(worker: Worker) -> list[int]:
    """Whether it is alive, and ready."""
    return [await asyncio.to_thread(status, worker, path) for path in ("/health", "/ready")]


async def test_probes_tell_ready_from_failed(plain: Config) -> None:
    topic = await make_topic(plain)
    stage = ScriptedStage(name=fresh("probed"), topics=(topic,), broken={0})

    async with running(stage, plain) as worker:
        assert await probes(worker) == [200, 200]
        assert await asyncio.to_thread(status, worker, "/metrics") == 200
        await produce(plain, topic, 1)
        await asyncio.wait_for(worker.pipeline.failed.wait(), 20)
        assert await probes(worker) == [503, 503]


def pause(worker: Worker, topic: str, partition: int) -> None:
    """Let its client fetch nothing more of a partition, and nobody know."""
    runner: Any = worker.runner
    if hasattr(runner, "_app"):
        runner._app.consumer.pause_partitions([TP(topic, partition)])
    else:
        runner._consumer.pause(TopicPartition(topic, partition))


async def test_a_partition_that_is_not_fetched_is_noticed_while_others_are_busy(
    config: Config,
) -> None:
    topic = await make_topic(config)
    config.runtime.stuck_s = 2.0

    class Slow(ScriptedStage):
        async def process(self, message: Message) -> None:
            await asyncio.sleep(0.5)
            await super().process(message)

    outputs = KafkaOutputs(config)
    stage = Slow(name=fresh("paused"), topics=(topic,))

    async def look_under_traffic(worker: Worker) -> None:
        for number in range(200):
            await outputs.produce(topic, b"x", partition=number % PARTITIONS)
            await asyncio.sleep(0.05)
            if number % 20 == 19:
                assert worker.pipeline.inflight_messages
                await worker.watchdog.check()

    async with running(stage, config) as worker:
        await produce(config, topic, 8)
        await until(lambda: len(stage.finished) == 8)
        pause(worker, topic, 0)
        with pytest.raises(StuckError, match=rf"{topic}\[0\] stands at 2 of"):
            await look_under_traffic(worker)
    await outputs.stop()
    assert {partition for partition, _ in stage.finished[8:]} == {1, 2, 3}


async def test_a_worker_with_more_than_it_can_take_has_not_caught_up(config: Config) -> None:
    topic = await make_topic(config)
    config.runtime.inflight_messages = 1
    stage = ScriptedStage(name=fresh("behind"), topics=(topic,), gated={0})
    async with running(stage, config) as worker:
        await until(lambda: worker.runner.caught_up_s > 0)
        await produce(config, topic, 200)
        await until(lambda: len(stage.started) == 1)
        await asyncio.sleep(1.5)
        caught_up_s = worker.runner.caught_up_s
        await asyncio.sleep(1.5)
        assert worker.runner.caught_up_s == caught_up_s
        stage.gates[0].set()
        await until(lambda: len(stage.finished) == 200)
        await until(lambda: worker.runner.caught_up_s > caught_up_s)


async def test_a_halted_worker_keeps_its_partitions_and_leaves_when_told(config: Config) -> None:
    topic = await make_topic(config)
    await create_topics(config)
    config.runtime.dead_letter_run_limit = 10
    stage = ScriptedStage(name=fresh("halted"), topics=(topic,), poison=set(range(100)))
    async with running(stage, config) as worker:
        await produce(config, topic, 80)
        await until(lambda: worker.pipeline.halted is not None)
        assert await probes(worker) == [200, 503], "alive, not ready"
        started = len(stage.started)
        await produce(config, topic, 40, first=80)
        await asyncio.sleep(config.kafka.session_timeout_s + 1.0)
        await worker.watchdog.check()
        assert len(worker.pipeline.next_offsets()) == PARTITIONS
        assert len(stage.started) == started
        assert worker.runner.crashed is None
        began = time.monotonic()
    assert time.monotonic() - began < config.runtime.drain_s + 5
    assert await committed(config, stage.name, topic) < 10


async def test_two_workers_one_killed_and_a_third_joins(broker: Broker, tmp_path: Path) -> None:
    config = make_config(broker.bootstrap, tmp_path, "faust")
    topic = await make_topic(config)
    stage, total = fresh("killed"), 1200
    dying = {"STREAMGAUGE_FAILPOINT": "processed:60"}
    first = WorkerProcess(config, stage, topic, tmp_path / "first", "i1", dying)
    second = WorkerProcess(config, stage, topic, tmp_path / "second", "i2")
    third = WorkerProcess(config, stage, topic, tmp_path / "third", "i1")
    workers = [first, second, third]

    def done() -> set[str]:
        return {line for worker in workers for line in worker.processed()}

    try:
        first.start()
        second.start()
        await until(lambda: first.ready() and second.ready(), 40)
        await produce(config, topic, total // 2)
        assert await asyncio.to_thread(first.process.wait, 30) == -signal.SIGKILL
        third.start()
        await produce(config, topic, total // 2, first=total // 2)
        # The group commits everything by itself, even if the newcomer must join once more or a
        # worker is replaced. Only then are they told to stop: nothing is promised of a commit by
        # one that is rejoining.
        async with asyncio.timeout(150):
            while await committed(config, stage, topic) != total:
                second.revive()
                third.revive()
                await asyncio.sleep(0.3)
        assert done() == {str(number) for number in range(total)}
        await until(lambda: second.ready() and third.ready(), 30)
        second.process.send_signal(signal.SIGTERM)
        third.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.process.wait, 15) == 0
        assert await asyncio.to_thread(third.process.wait, 15) == 0
        assert await committed(config, stage, topic) == total
    finally:
        for worker in workers:
            worker.end()


async def test_the_end_counts_every_message_of_a_batch(plain: Config) -> None:
    topic = await make_topic(plain)
    outputs = KafkaOutputs(plain)
    await asyncio.gather(*(outputs.produce(topic, b"x", partition=0) for _ in range(30)))
    await outputs.stop()
    history = KafkaHistory(plain, SystemClock())
    assert await history.end_offsets([(topic, 0), (topic, 1)]) == {(topic, 0): 30, (topic, 1): 0}
    assert len(await read_all(plain, topic, {})) == 30
