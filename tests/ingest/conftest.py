"""A gateway in process on free ports, and what it wrote to a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ingest.gateway import Gateway
from schemas.config import Config, GatewayConfig, KafkaConfig, RuntimeConfig
from schemas.topics import OTLP_LOGS_GATEWAY, OTLP_SPANS_GATEWAY
from stack.broker import Broker
from stack.ports import free_port

TOPIC = OTLP_SPANS_GATEWAY.name


async def create_topic(bootstrap: str) -> None:
    """The gateway's topics with one partition each, so that order is total."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, 1), NewTopic(OTLP_LOGS_GATEWAY.name, 1, 1)])
    finally:
        await admin.close()


def gateway_config(bootstrap: str, data_dir: Path, **gateway: Any) -> Config:
    """A configuration on free ports; keyword arguments are gateway settings."""
    defaults = {"http_port": 0, "grpc_port": 0, "produce_deadline_s": 5.0}
    return Config(
        kafka=KafkaConfig(
            bootstrap_servers=bootstrap, idempotent_producer=False, max_message_bytes=1 << 20
        ),
        gateway=GatewayConfig(**defaults | gateway),
        runtime=RuntimeConfig(metrics_base_port=0, data_dir=data_dir),
    )


@pytest.fixture(scope="session")
def gateway_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with the gateway's topic; tests that kill brokers start their own."""
    broker = Broker(tmp_path_factory.mktemp("gateway-broker"), free_port())

    async def prepare() -> None:
        await broker.start()
        await create_topic(broker.bootstrap)

    asyncio.run(prepare())
    yield broker
    broker.stop()


class RunningGateway:
    """A started gateway with a client."""

    def __init__(self, gateway: Gateway, session: ClientSession) -> None:
        self.url = f"http://127.0.0.1:{gateway.http_port}/v1/traces"
        self.logs_url = f"http://127.0.0.1:{gateway.http_port}/v1/logs"
        self.port = gateway.http_port
        self.grpc_port = gateway.grpc_port
        self.status_url = f"http://127.0.0.1:{gateway.status_port}"
        self.session = session

    async def post(
        self, body: Any, content_type: str = "application/x-protobuf", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers) of one export; underscores in header names become dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Content-Type"] = content_type
        async with self.session.post(self.url, data=body, headers=sent) as response:
            return response.status, await response.read(), dict(response.headers)

    async def ready(self) -> bool:
        """Whether /ready says yes now."""
        async with self.session.get(f"{self.status_url}/ready") as response:
            return response.status == 200

    async def wait_ready(self, timeout_s: float = 15.0) -> None:
        """Return once ready."""
        async with asyncio.timeout(timeout_s):
            while not await self.ready():
                await asyncio.sleep(0.05)


StartGateway = Callable[[Config], Awaitable[RunningGateway]]


@pytest.fixture
async def start_gateway() -> AsyncIterator[StartGateway]:
    """Starts gateways that stop with the test."""
    async with AsyncExitStack() as stack:

        async def start(config: Config) -> RunningGateway:
            gateway = Gateway(config)
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            session = await stack.enter_async_context(
                ClientSession(skip_auto_headers=("Content-Type",))
            )
            return RunningGateway(gateway, session)

        yield start


class Written:
    """Messages that came to one of the gateway's topics since the test began."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def take(self, count: int) -> list[ConsumerRecord]:
        """The next ``count`` messages."""
        async with asyncio.timeout(10):
            return [await self._consumer.getone() for _ in range(count)]

    async def nothing_more(self) -> bool:
        """Whether no message came beyond those taken."""
        return not await self._consumer.getmany(timeout_ms=300)


@pytest.fixture
async def written(gateway_broker: Broker) -> AsyncIterator[Written]:
    """Reads the spans' topic from its present end on."""
    async with _from_the_end(gateway_broker, TOPIC) as found:
        yield found


@pytest.fixture
async def written_logs(gateway_broker: Broker) -> AsyncIterator[Written]:
    """Reads the logs' topic from its present end on."""
    async with _from_the_end(gateway_broker, OTLP_LOGS_GATEWAY.name) as found:
        yield found


@asynccontextmanager
async def _from_the_end(gateway_broker: Broker, topic: str) -> AsyncIterator[Written]:
    consumer = AIOKafkaConsumer(bootstrap_servers=gateway_broker.bootstrap, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        ends = await consumer.end_offsets([partition])
        consumer.seek(partition, ends[partition])
        # The embedded broker's end is too low after a batch of several messages.
        while await consumer.getmany(timeout_ms=300):
            pass
        yield Written(consumer)
    finally:
        await consumer.stop()
