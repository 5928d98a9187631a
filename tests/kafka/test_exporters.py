"""The exporters where Apache Kafka differs: its limit of a message, topics that do not exist."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ingest.exporters import KafkaSpanExporter
from tests.exporters.conftest import read_spans, span_names
from tests.exporters.test_exporters import FLUSH_MS, ended_spans
from tests.kafka.kraft import KRaftBroker

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an Apache Kafka."""
    broker = KRaftBroker(tmp_path_factory.mktemp("kraft"))
    broker.start()
    yield broker.bootstrap
    broker.stop()


async def create_topic(bootstrap: str, name: str, **settings: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=settings)])
    finally:
        await admin.close()


def random_text(size: int, seed: int) -> str:
    """Text that does not compress to less than half."""
    return "".join(random.Random(seed).choices("0123456789abcdefghijklmnopqrstuvwxyz", k=size))


def test_a_limit_below_ours_divides_messages(kafka: str) -> None:
    asyncio.run(create_topic(kafka, "small", **{"max.message.bytes": "100000"}))
    exporter = KafkaSpanExporter(kafka, topic="small")
    batch = [span for n in range(8) for span in ended_spans(1, text=random_text(60_000, n))]
    batch += ended_spans(1, name="large", text=random_text(400_000, 9))
    exporter.export(batch)
    assert exporter.force_flush(FLUSH_MS)
    assert sorted(span_names(read_spans(kafka, "small", 9))) == ["chat 0"] * 8 + ["large 0"]
    assert exporter.delivery.acknowledged == 9
    assert exporter.delivery.dropped == {}
    exporter.shutdown()


def test_a_topic_that_is_made_later(kafka: str) -> None:
    exporter = KafkaSpanExporter(kafka, topic="later")
    exporter.export(ended_spans(1))
    assert not exporter.force_flush(2000)
    assert exporter.delivery.waiting == 1
    asyncio.run(create_topic(kafka, "later"))
    assert exporter.force_flush(FLUSH_MS)
    assert span_names(read_spans(kafka, "later", 1)) == ["chat 0"]
    exporter.shutdown()
