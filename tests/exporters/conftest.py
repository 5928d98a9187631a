"""Topics of a test's own, and what stands in them."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ingest.otlp import decode_logs, decode_traces, log_records, spans
from stack.broker import Broker

MakeTopic = Callable[[], str]
CONTENT = '[{"role":"user","parts":[{"type":"text","content":"What is the weather?"}]}]'


async def create_topic(bootstrap: str, name: str) -> None:
    """A topic with two partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()


async def read(bootstrap: str, topic: str, done: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Values of the topic from its beginning, until ``done`` with them. Raises TimeoutError."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    await consumer.start()
    values: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while not done(values):
                values.append((await consumer.getone()).value)
    finally:
        await consumer.stop()
    return values


def span_names(values: list[bytes]) -> list[str]:
    """Names of all spans in these messages."""
    return [
        span.name
        for value in values
        for _, _, span in spans(decode_traces(value, "protobuf").request)
    ]


def log_bodies(values: list[bytes]) -> list[str]:
    """Bodies of all log records in these messages."""
    return [
        record.body.string_value
        for value in values
        for _, _, record in log_records(decode_logs(value, "protobuf").request)
    ]


def read_spans(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Messages of the topic that hold ``count`` spans or more together."""
    return asyncio.run(read(bootstrap, topic, lambda found: len(span_names(found)) >= count))


def tracing(exporter: SpanExporter, **batching: Any) -> TracerProvider:
    """An application's provider with that exporter behind a BatchSpanProcessor."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, **batching))
    return provider


def call_model(provider: TracerProvider, name: str, **attributes: Any) -> str:
    """One chat span; its span id as hex."""
    with provider.get_tracer("app").start_as_current_span(name) as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attributes(attributes)
        return f"{span.get_span_context().span_id:016x}"


@pytest.fixture
def topic(broker: Broker) -> str:
    """A fresh topic on the session's broker."""
    name = f"exported-{uuid4().hex[:10]}"
    asyncio.run(create_topic(broker.bootstrap, name))
    return name
