"""Stages in this process on a broker and a database of a test module's own."""

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typer.testing import CliRunner

from processors.app import stage_spec
from processors.runtime.admin import create_topics
from processors.runtime.clock import SystemClock
from processors.runtime.history import KafkaHistory
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import group_less_consumer, partitions_of
from processors.runtime.worker import Worker
from schemas.config import ClickHouseConfig, Config, GatewayConfig, KafkaConfig, RuntimeConfig
from schemas.protocols import Message
from sql.migrate import migrate
from stack.broker import Broker
from stack.cli import app
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from stack.replay.windows import window_records, windows
from tests.store.otlp import request, span_of

PARTITIONS = 2
SETTLE_S = 60.0


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose topics nobody else writes."""
    server = Broker(tmp_path_factory.mktemp("broker"), free_port())
    asyncio.run(server.start())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def line_config(
    own_broker: Broker, clickhouse: ClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Config:
    """Topics created, tables migrated, nothing in them."""
    config = Config(
        kafka=KafkaConfig(
            bootstrap_servers=own_broker.bootstrap,
            session_timeout_s=3.0,
            idempotent_producer=False,
            partitions=PARTITIONS,
        ),
        clickhouse=ClickHouseConfig(
            url=clickhouse.url,
            token=clickhouse.token,
            database=f"line_{uuid.uuid4().hex[:8]}",
            insert_linger_s=0.05,
        ),
        gateway=GatewayConfig(http_port=0, grpc_port=0),
        runtime=RuntimeConfig(
            runner="aiokafka",
            data_dir=tmp_path_factory.mktemp("data"),
            commit_interval_s=0.2,
            drain_s=1.0,
            metrics_base_port=free_port(),
        ),
        privacy={"redaction_key": secrets.token_hex(32)},  # type: ignore[arg-type]
    )
    asyncio.run(create_topics(config))
    migrate(config)
    return config


@asynccontextmanager
async def stages(config: Config, *names: str) -> AsyncIterator[dict[str, Worker]]:
    """Workers of these stages, in their groups when entered, stopped when left."""
    clock = SystemClock()
    async with AsyncExitStack() as ends:
        running: dict[str, Worker] = {}
        for name in names:
            worker = Worker.build(stage_spec(name), config, clock, 0, f"test-{name}")
            await worker.prepare()
            await worker.runner.start()
            ends.push_async_callback(_stop, worker)
            running[name] = worker
        async with asyncio.timeout(SETTLE_S):
            while not all(worker.runner.ready for worker in running.values()):
                await asyncio.sleep(0.05)
        yield running


async def _stop(worker: Worker) -> None:
    await asyncio.wait_for(worker.runner.stop(), 15)
    await worker.pipeline.stop()
    await worker.outputs.stop()
    if worker.sink is not None:
        await worker.sink.close()
    await worker.health.stop()


async def settled(config: Config, *names: str) -> None:
    """Return once these groups have committed everything of their topics, twice in a row."""
    history = KafkaHistory(config, SystemClock())
    calm = 0
    async with asyncio.timeout(SETTLE_S):
        while calm < 2:
            waiting = 0
            for name in names:
                spec = stage_spec(name)
                keys = [(topic.name, p) for topic in spec.consumes for p in range(PARTITIONS)]
                end = await history.end_offsets(keys)
                done = await history.committed(spec.group, keys)
                waiting += sum(end[key] - done[key] for key in keys)
            calm = 0 if waiting else calm + 1
            await asyncio.sleep(0.2)


async def produce(
    config: Config,
    topic: str,
    *values: bytes,
    headers: tuple[tuple[str, bytes], ...] = (),
    key: bytes | None = None,
    partition: int | None = None,
) -> None:
    """Send raw messages."""
    outputs = KafkaOutputs(config)
    for value in values:
        await outputs.produce(topic, value, key, headers, partition=partition)
    await outputs.stop()


async def messages(config: Config, topic: str) -> list[Message]:
    """Everything on a topic, partition by partition."""
    numbers = (await partitions_of(config.kafka, [topic]))[topic]
    async with group_less_consumer(config.kafka) as consumer:
        found: list[Message] = []
        for window in await windows(consumer, [TopicPartition(topic, n) for n in numbers], None):
            found += [message async for message in window_records(consumer, window)]
        return found


def chat(number: int, said: str = "Where is my parcel?", **values: str) -> Span:
    """A GenAI span with one question and one answer that ended just now."""
    texts = {"gen_ai.input.messages": ("user", said), "gen_ai.output.messages": ("assistant", "Ok")}
    turns = {
        key: json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
        for key, (role, text) in texts.items()
        if text
    }
    named = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    return span_of(number, 1, time.time_ns() - 10**9, {**named, **turns, **values})


def export(*spans: Span, service: str = "shop") -> bytes:
    """One export request as bytes."""
    return bytes(request(spans, service).SerializeToString())


def environment(config: Config) -> dict[str, str]:
    """Variables that give a command this configuration."""
    kafka, clickhouse = config.kafka, config.clickhouse
    return {
        "STREAMGAUGE_CONFIG": str(config.runtime.data_dir / "none.yaml"),
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STREAMGAUGE_KAFKA__PARTITIONS": str(kafka.partitions),
        "STREAMGAUGE_CLICKHOUSE__URL": clickhouse.url,
        "STREAMGAUGE_CLICKHOUSE__TOKEN": clickhouse.token.get_secret_value(),
        "STREAMGAUGE_CLICKHOUSE__DATABASE": clickhouse.database,
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(config.runtime.metrics_base_port),
        "STREAMGAUGE_PRIVACY__REDACTION_KEY": config.privacy.redaction_key.get_secret_value(),
    }


async def command(config: Config, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a ``streamgauge`` command, both streams in one."""
    run = CliRunner().invoke
    result = await asyncio.to_thread(run, app, list(arguments), env=environment(config))
    assert "Traceback" not in result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output
