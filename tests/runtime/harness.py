"""Workers on the real broker: fresh topics of its own for each test, in process or as processes."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ingest.kafka import kafka_options
from processors.runtime.clock import SystemClock
from processors.runtime.history import KafkaHistory
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.worker import Worker
from schemas.config import Config, KafkaConfig, RuntimeConfig
from schemas.topics import GROUP_PREFIX
from tests.runtime.stages import ScriptedStage

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 4
_numbers = itertools.count(1)


def make_config(bootstrap: str, data_dir: Path, runner: str) -> Config:
    return Config(
        kafka=KafkaConfig(
            bootstrap_servers=bootstrap,
            session_timeout_s=3.0,
            idempotent_producer=False,
            partitions=PARTITIONS,
        ),
        runtime=RuntimeConfig(
            runner=runner,
            data_dir=data_dir,
            commit_interval_s=0.2,
            drain_s=1.0,  # type: ignore[arg-type]
            stuck_s=20.0,
        ),
    )


def fresh(name: str) -> str:
    """A name that no other test uses."""
    return f"{name}-{os.getpid()}-{next(_numbers)}"


async def make_topic(config: Config, name: str = "topic", partitions: int = PARTITIONS) -> str:
    topic = fresh(name)
    admin = AIOKafkaAdminClient(**kafka_options(config.kafka))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    return topic


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        await asyncio.sleep(0.02)


@contextmanager
def peak_bytes() -> Iterator[Callable[[], int]]:
    """Tells the most that Python objects held since it was entered, beyond what they held then."""
    tracemalloc.start()
    held, _ = tracemalloc.get_traced_memory()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


async def produce(config: Config, topic: str, count: int, first: int = 0) -> None:
    """Numbers as text, to the partitions in turn."""
    outputs = KafkaOutputs(config)
    await asyncio.gather(
        *(
            outputs.produce(topic, b"%d" % number, partition=number % PARTITIONS)
            for number in range(first, first + count)
        )
    )
    await outputs.stop()


async def produce_compressible(config: Config, topic: str, count: int, size_bytes: int) -> None:
    """Messages that are next to nothing on the broker, on partition 0."""
    outputs = KafkaOutputs(config)
    for _ in range(count):
        await outputs.produce(topic, b"x" * size_bytes, partition=0)
    await outputs.stop()


@asynccontextmanager
async def running(
    stage: ScriptedStage, config: Config, instance: str = ""
) -> AsyncIterator[Worker]:
    """A worker in this process, assigned when entered, stopped when left."""
    clock = SystemClock()
    worker = Worker.around(stage, KafkaOutputs(config, clock), config, clock, 0, instance)
    await worker.prepare()
    await worker.runner.start()
    try:
        await until(lambda: worker.runner.ready)
        yield worker
    finally:
        await asyncio.wait_for(worker.runner.stop(), 15)
        await worker.outputs.stop()
        await worker.health.stop()


async def committed(config: Config, group: str, topic: str) -> int:
    """Sum of the group's committed offsets over the topic's partitions."""
    history = KafkaHistory(config, SystemClock())
    keys = [(topic, partition) for partition in range(PARTITIONS)]
    offsets = await history.committed(GROUP_PREFIX + group, keys)
    return sum(offsets.values())


@dataclass
class WorkerProcess:
    """A worker in a process of its own that appends what it has processed to a file."""

    config: Config
    stage: str
    topic: str
    journal: Path
    instance: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    _started: "subprocess.Popen[bytes] | None" = None
    _starts: int = 0

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        if self._started is None:
            raise RuntimeError("not started")
        return self._started

    def start(self) -> None:
        arguments = {
            "stage": self.stage, "topic": self.topic, "journal": str(self.journal),
            "instance": self.instance, "bootstrap": self.config.kafka.bootstrap_servers,
            "runner": self.config.runtime.runner, "data_dir": str(self.config.runtime.data_dir),
            "dead_letter_run_limit": str(self.config.runtime.dead_letter_run_limit),
        }  # fmt: skip
        self._starts += 1
        with self.journal.with_suffix(".log").open("ab") as log:
            self._started = subprocess.Popen(
                [sys.executable, "-m", "tests.runtime.journal_worker", json.dumps(arguments)],
                cwd=ROOT, env=os.environ | self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def revive(self) -> None:
        """Start it again if it has ended, as a supervisor does: a fetcher may die silently at a
        rebalance, and the watchdog then ends its worker."""
        if self.process.poll() is not None:
            self.start()

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def ready(self) -> bool:
        return self.lines().count("ready") == self._starts

    def processed(self) -> list[str]:
        return [line for line in self.lines() if line != "ready"]

    def end(self) -> None:
        if self._started is not None:
            self._started.kill()
            self._started.wait()
