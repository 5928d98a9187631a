"""The embedded broker does what the stages rely on."""

import asyncio
import stat
import time
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.broker import BINARY_VARIABLE, Broker, BrokerError, broker_binary
from stack.ports import PortError, free_port


async def make_topic(broker: Broker, partitions: int = 2) -> str:
    name = f"t-{uuid4().hex[:10]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1)])
    await admin.close()
    return name


async def test_headers_keys_timestamps_and_zstd_survive(broker: Broker) -> None:
    topic = await make_topic(broker)
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap,
        compression_type="zstd",
        acks="all",
        max_request_size=9 << 20,
    )
    await producer.start()
    big = b"x" * (8 << 20)
    stamp_ms = 1_790_000_000_000
    for value in (b"first", big):
        await producer.send_and_wait(
            topic, value, b"key", 1, stamp_ms, [("streamgauge-schema", b"operation/1")]
        )
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 1)])
    first, second = await consumer.getone(), await consumer.getone()
    await consumer.stop()
    assert (first.value, first.key, first.offset) == (b"first", b"key", 0)
    assert first.headers == (("streamgauge-schema", b"operation/1"),)
    assert first.timestamp == stamp_ms
    assert second.value == big


async def test_offsets_by_time(broker: Broker) -> None:
    topic = await make_topic(broker, 1)
    partition = TopicPartition(topic, 0)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    # Tansu searches by its own time of arrival, whatever timestamp the producer gave.
    for n in range(5):
        if n == 3:
            await asyncio.sleep(0.2)
            between_ms = time.time_ns() // 1_000_000 - 100
        await producer.send_and_wait(topic, b"v", partition=0)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    await consumer.start()
    found = await consumer.offsets_for_times({partition: between_ms})
    past = await consumer.offsets_for_times({partition: between_ms + 3_600_000})
    end = await consumer.end_offsets([partition])
    await consumer.stop()
    assert found[partition].offset == 3
    # Past the end Tansu answers with timestamp -1 where Kafka answers with nothing.
    assert past[partition] is None or past[partition].timestamp == -1
    assert end[partition] == 5


async def test_committed_offsets_outlive_a_consumer(broker: Broker) -> None:
    topic = await make_topic(broker, 1)
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=f"g-{topic}", enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([partition])
    await consumer.commit({partition: 7})
    await consumer.stop()
    again = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=f"g-{topic}")
    await again.start()
    again.assign([partition])
    assert await again.committed(partition) == 7
    await again.stop()


def test_the_binary_is_kept_in_the_data_folder(tmp_path: Path) -> None:
    binary = broker_binary(tmp_path)
    assert binary.parent == tmp_path / "bin"
    assert binary.stat().st_mode & stat.S_IXUSR
    made = binary.stat().st_mtime_ns
    assert broker_binary(tmp_path).stat().st_mtime_ns == made


def test_a_wrong_binary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(BrokerError, match=BINARY_VARIABLE):
        broker_binary(tmp_path)


async def test_a_taken_port_is_an_error(broker: Broker, tmp_path: Path) -> None:
    port = int(broker.bootstrap.rsplit(":", 1)[1])
    second = Broker(tmp_path, port)
    with pytest.raises(PortError, match=r"kafka\.bootstrap_servers"):
        await second.start()


async def test_start_takes_a_moment(tmp_path: Path) -> None:
    own = Broker(tmp_path, free_port())
    before = time.monotonic()
    await own.start()
    assert time.monotonic() - before < 10.0
    own.stop()
