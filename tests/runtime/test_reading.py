"""Reading without a group, on the real broker."""

import asyncio
import secrets

from aiokafka import TopicPartition

from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import (
    FETCH_BYTES,
    POLL_MESSAGES,
    committed_offsets,
    ends,
    first_offsets_since,
    group_less_consumer,
    partitions_of,
    records,
)
from schemas.config import Config
from tests.runtime.harness import (
    PARTITIONS,
    fresh,
    make_topic,
    peak_bytes,
    produce_compressible,
)


async def test_a_consumer_stops_soon_after_an_assignment(plain: Config) -> None:
    """aiokafka's own ``stop`` hangs where its cancellation meets a change of assignment."""
    topic = await make_topic(plain)
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    for turns in range(12):
        async with asyncio.timeout(10), group_less_consumer(plain.kafka) as consumer:
            consumer.assign(places)
            await consumer.beginning_offsets(places)
            consumer.assign(places[:1])
            for _ in range(turns):
                await asyncio.sleep(0)


async def test_asking_about_a_topic_does_not_make_it(plain: Config) -> None:
    topic, absent = await make_topic(plain), fresh("absent")
    for _ in range(2):
        found = await partitions_of(plain.kafka, [topic, absent])
        assert found == {topic: list(range(PARTITIONS))}


async def test_a_group_without_commits_and_times_past_the_end_are_absent(plain: Config) -> None:
    place = TopicPartition(await make_topic(plain), 0)
    outputs = KafkaOutputs(plain)
    await outputs.produce(place.topic, b"x", partition=0)
    await outputs.stop()
    assert await committed_offsets(plain.kafka, fresh("group"), [place]) == {}
    async with group_less_consumer(plain.kafka) as consumer:
        assert await first_offsets_since(consumer, [place], 0) == {place: 0}
        assert await first_offsets_since(consumer, [place], 10**14) == {}


async def test_records_that_compress_well_are_read_a_few_at_a_time(plain: Config) -> None:
    place, count, size = TopicPartition(await make_topic(plain), 0), 48, 4 << 20
    await produce_compressible(plain, place.topic, count, size)
    with peak_bytes() as peak:
        async with group_less_consumer(plain.kafka) as consumer:
            assert await ends(consumer, [place]) == {place: count}
            read = [message.offset async for message in records(consumer, place.topic, 0, 0, count)]
        assert read == list(range(count))
        assert peak() < (2 * POLL_MESSAGES + 6) * size < count * size / 2


async def test_messages_larger_than_a_fetch_come_in_their_order(plain: Config) -> None:
    place = TopicPartition(await make_topic(plain), 0)
    sizes = [100, FETCH_BYTES * 3, 200, FETCH_BYTES * 7, 50]
    outputs = KafkaOutputs(plain)
    for size in sizes:
        await outputs.produce(place.topic, secrets.token_bytes(size), partition=0)
    await outputs.stop()
    async with group_less_consumer(plain.kafka) as consumer:
        assert await ends(consumer, [place]) == {place: len(sizes)}
        found = records(consumer, place.topic, 0, 0, len(sizes))
        assert [len(message.value or b"") async for message in found] == sizes
