"""A worker of either runner: what it holds, what it tells of itself, and when it stands still."""

import asyncio
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from processors.runtime.admin import create_topics
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import POLL_MESSAGES
from processors.runtime.watchdog import StuckError
from processors.runtime.worker import Worker
from schemas.config import Config
from schemas.protocols import Message
from tests.runtime.harness import (
    PARTITIONS,
    WorkerProcess,
    committed,
    fresh,
    make_topic,
    peak_bytes,
    produce,
    produce_compressible,
    running,
    until,
)
from tests.runtime.stages import ScriptedStage


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


async def test_a_halted_process_stays_until_it_is_told_to_end(
    config: Config, tmp_path: Path
) -> None:
    topic = await make_topic(config)
    await create_topics(config)
    config.runtime.dead_letter_run_limit = 3
    halting = WorkerProcess(config, fresh("halting"), topic, tmp_path / "halting")
    outputs = KafkaOutputs(config)
    try:
        halting.start()
        await until(halting.ready, 40)
        for _ in range(5):
            await outputs.produce(topic, b"poison", partition=0)
        await until(lambda: " halts: " in halting.journal.with_suffix(".log").read_text())
        await asyncio.sleep(1.0)
        assert halting.process.poll() is None
        halting.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(halting.process.wait, 8) == 0
        assert await committed(config, halting.stage, topic) <= 2
    finally:
        halting.end()
        await outputs.stop()
