"""What each guarantee of delivery costs: throughput with it over throughput without it.

``python -m bench.guarantees`` starts three Apache Kafka brokers (replication 3, two in sync) and a
ClickHouse engine on this machine, and measures in one run, each pair in turn, medians of the
rounds: producing with ``acks=all`` and with ``acks=1``; with and without an idempotent producer;
inserts with and without a deduplication token; a stage's pipeline with acknowledgements in offset
order and as each message ends. Ratios below 1 are the cost.
"""

import argparse
import asyncio
import random
import secrets
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from ingest import telemetry
from ingest.kafka import kafka_options
from processors.clickhouse import INSERT_SETTINGS
from processors.runtime.admin import create_topics
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.runtime.pipeline import Pipeline
from processors.store.rows import ledger_row
from schemas.config import ClickHouseConfig, Config, KafkaConfig
from schemas.protocols import Message
from schemas.records import LedgerRow
from schemas.topics import FRAGMENTS
from sql.client import connect
from sql.migrate import migrate
from sql.tables import table
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from tests.kafka.kraft import KRaftBroker, Membership, new_cluster_id
from tests.runtime.stages import ScriptedStage

RESULTS = Path(__file__).parent / "results" / "guarantees.json"
MESSAGE_BYTES = 64 << 10
MESSAGES = 1500
AT_ONCE = 64
INSERTS = 60
INSERT_ROWS = 2000
PIPELINE_MESSAGES = 20_000
BROKERS = (1, 2, 3)


def brokers(folder: Path) -> list[KRaftBroker]:
    """Three, started."""
    controllers = {node: free_port() for node in BROKERS}
    cluster_id = new_cluster_id()
    settings = {"offsets.topic.replication.factor": "3", "min.insync.replicas": "2"}
    made = [
        KRaftBroker(
            folder / str(node), settings=settings, heap="-Xmx256m",
            member=Membership(node, controllers, cluster_id),
        )
        for node in BROKERS
    ]  # fmt: skip
    for broker in made:
        broker.begin()
    for broker in made:
        broker.wait_answering()
    return made


async def produce(kafka: KafkaConfig, **settings: Any) -> float:
    """Messages a second of a stage's size, so many in flight."""
    producer = AIOKafkaProducer(
        **kafka_options(kafka), compression_type="zstd", linger_ms=0,
        max_batch_size=1 << 20, max_request_size=1 << 20, **settings,
    )  # fmt: skip
    await producer.start()
    rng = random.Random(1)
    values = [rng.randbytes(MESSAGE_BYTES // 4).hex().encode() * 2 for _ in range(50)]
    room = asyncio.Semaphore(AT_ONCE)

    async def send(number: int) -> None:
        async with room:
            value = values[number % len(values)]
            await producer.send_and_wait(FRAGMENTS.name, value, partition=number % 4)

    try:
        await asyncio.gather(*(send(n) for n in range(100)))  # connections, leaders, buffers
        started = time.perf_counter()
        await asyncio.gather(*(send(n) for n in range(MESSAGES)))
        return MESSAGES / (time.perf_counter() - started)
    finally:
        await producer.stop()


def inserts(config: ClickHouseConfig, *, token: bool) -> float:
    """Rows a second into the ledger, one insert after another."""
    client = connect(config)
    names = [column.name for column in table("genai_ledger").declared if column.given]
    topic = uuid.uuid4().hex
    batches = [
        [
            ledger_row(
                LedgerRow(
                    tenant="default", stage="traces", topic=topic, partition=0,
                    offset=batch * INSERT_ROWS + n, timestamp_ms=1_800_000_000_000,
                    items_in=1, items_out=1, filtered=0, dead=0,
                )
            )
            for n in range(INSERT_ROWS)
        ]
        for batch in range(INSERTS)
    ]  # fmt: skip
    started = time.perf_counter()
    for rows in batches:
        own = {"insert_deduplication_token": uuid.uuid4().hex} if token else {}
        plain = INSERT_SETTINGS if token else {**INSERT_SETTINGS, "insert_deduplicate": 0}
        client.insert("genai_ledger", rows, column_names=names, settings={**plain, **own})
    took_s = time.perf_counter() - started
    client.close()
    return INSERTS * INSERT_ROWS / took_s


class UnorderedPipeline(Pipeline):
    """Acknowledges each message as it ends: what the order is measured against."""

    async def _run(self, assignment: Any, entry: Any) -> None:
        try:
            with telemetry.message_span(self._stage.name, entry.message) as span:
                outcome = await self._processing.complete(entry.message, lambda: False)
                span.set(telemetry.OUTCOME, outcome or "revoked")
            entry.done = True
            if outcome is not None:
                self._count(entry, outcome)
            self._release(entry)
            entry.ack()
            self._note_progress()
        except Exception as error:  # the bench must end, not wait for ever
            self.fail(error)


async def pipe(kind: type[Pipeline]) -> float:
    """Messages a second through a stage whose messages take 0 to 4 ms each."""
    rng = random.Random(1)
    outputs = MemoryOutputs()
    stage = ScriptedStage()
    waits = [rng.random() * 0.004 for _ in range(997)]

    async def process(message: Message) -> None:
        await asyncio.sleep(waits[message.offset % len(waits)])

    stage.process = process  # type: ignore[method-assign]
    pipeline = kind(stage, outputs, Config(), SystemClock())
    await pipeline.start()
    acked = 0

    def ack() -> None:
        nonlocal acked
        acked += 1

    started = time.perf_counter()
    for number in range(PIPELINE_MESSAGES):
        message = Message("topic", number % 4, number // 4, 0, None, b"x" * 200)
        await pipeline.offer(message, ack)
    while acked < PIPELINE_MESSAGES:
        if pipeline.fatal is not None:
            raise pipeline.fatal
        await asyncio.sleep(0.001)
    took_s = time.perf_counter() - started
    await pipeline.stop()
    return PIPELINE_MESSAGES / took_s


async def paired(
    rounds: int, with_it: Callable[[], Awaitable[float]], without: Callable[[], Awaitable[float]]
) -> dict[str, float]:
    """Medians of both, in turn, and the median of the rounds' ratios."""
    pairs = [(await with_it(), await without()) for _ in range(rounds)]
    return {
        "with_per_s": round(statistics.median(a for a, _ in pairs), 1),
        "without_per_s": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
    }


async def measure(kafka: KafkaConfig, clickhouse: ClickHouseConfig, rounds: int) -> dict[str, Any]:
    """Every pair."""
    return {
        "acks=all over acks=1": await paired(
            rounds, lambda: produce(kafka, acks="all"), lambda: produce(kafka, acks=1)
        ),
        "idempotent over not": await paired(
            rounds,
            lambda: produce(kafka, acks="all", enable_idempotence=True),
            lambda: produce(kafka, acks="all"),
        ),
        "deduplication token over none": await paired(
            rounds,
            lambda: asyncio.to_thread(inserts, clickhouse, token=True),
            lambda: asyncio.to_thread(inserts, clickhouse, token=False),
        ),
        "ordered acks over acks at once": await paired(
            rounds, lambda: pipe(Pipeline), lambda: pipe(UnorderedPipeline)
        ),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        running = brokers(folder / "kafka")
        server = ClickHouse(folder, free_port(), secrets.token_hex(16))
        server.start()
        try:
            kafka = KafkaConfig(
                bootstrap_servers=",".join(broker.bootstrap for broker in running),
                partitions=4, replication_factor=3, min_insync_replicas=2,
            )  # fmt: skip
            clickhouse = ClickHouseConfig(url=server.url, token=SecretStr(server.token))
            config = Config(kafka=kafka, clickhouse=clickhouse)
            asyncio.run(create_topics(config))
            migrate(config)
            found = asyncio.run(measure(kafka, clickhouse, options.rounds))
        finally:
            server.stop()
            for broker in running:
                broker.stop()
    document = {
        "rounds": options.rounds,
        "message_bytes": MESSAGE_BYTES,
        "insert_rows": INSERT_ROWS,
        "guarantees": found,
    }
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    for name, one in found.items():
        print(f"{name}: {one}")


if __name__ == "__main__":
    main()
