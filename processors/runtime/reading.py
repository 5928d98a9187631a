"""Reading topics without joining a group: partitions, bounds, times and records.

Nothing here commits or moves an offset of a group. The embedded broker answers some questions in
ways of its own; each function says which.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ingest.kafka import kafka_options
from schemas.config import KafkaConfig
from schemas.protocols import Message

FETCH_WAIT_MS = 100
FETCH_BYTES = 1 << 20
"""Of one partition, as they are on the topic, and kept until they are taken: of a backlog every
partition has as much. A message that is larger comes alone."""
POLL_MESSAGES = 8
"""Most messages of one poll. Without a bound a client hands over all that it has fetched, inflated:
a few MB of topic that compress well would be gigabytes."""
STOP_S = 2.0
READ_STALL_S = 10.0
"""Without a record for this long the read starts again."""


@asynccontextmanager
async def group_less_consumer(
    kafka: KafkaConfig, fetch_bytes: int = FETCH_BYTES
) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer of no group, with nothing assigned; stopped at the end.

    ``fetch_bytes`` is for whoever wants few messages of many partitions; a message that is larger
    comes all the same. Raises ``KafkaError`` or ``OSError`` if no broker answers.
    """
    consumer = AIOKafkaConsumer(
        **kafka_options(kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=fetch_bytes,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        # aiokafka's fetcher swallows a cancellation that comes while it takes up an assignment, and
        # its ``stop`` then waits for ever. The second cancellation, after the wait, ends it.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.stop(), STOP_S)


async def partitions_of(kafka: KafkaConfig, topics: Iterable[str]) -> dict[str, list[int]]:
    """Partition numbers of those topics that exist, by name.

    A broker may create a topic by being asked about it: it is asked about existing ones only.
    Raises ``KafkaError`` or ``OSError`` if no broker answers.
    """
    admin = AIOKafkaAdminClient(**kafka_options(kafka))
    try:
        await admin.start()
        known = set(await admin.list_topics())
        described = await admin.describe_topics([name for name in topics if name in known])
    finally:
        await admin.close()
    return {
        entry["topic"]: sorted(part["partition"] for part in entry["partitions"])
        for entry in described
    }


async def committed_offsets(
    kafka: KafkaConfig, group: str, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """The group's committed offsets; absent where it has none.

    Raises ``KafkaError`` or ``OSError`` if no broker answers.
    """
    admin = AIOKafkaAdminClient(**kafka_options(kafka))
    try:
        await admin.start()
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
    finally:
        await admin.close()
    return {tp: int(entry.offset) for tp, entry in found.items() if entry.offset >= 0}


async def first_offsets_since(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], since_ms: int
) -> dict[TopicPartition, int]:
    """Offset of the first message of each partition that is not older; absent where none is.

    A timestamp of -1 means that nothing is that young (the embedded broker says so past the end).
    """
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms)))
    return {
        tp: int(place.offset)
        for tp, place in found.items()
        if place is not None and place.timestamp != -1
    }


async def bounds(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """First offset held, and the one after the last."""
    begin = int((await consumer.beginning_offsets([partition]))[partition])
    return begin, (await ends(consumer, [partition]))[partition]


async def ends(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset after the last message, as a fetch tells it.

    A broker's list of offsets is not enough: the embedded one answers with the *base* offset of the
    last batch plus one, which is too low after a batch of several messages.
    """
    consumer.assign(partitions)
    found = {tp: int(end) for tp, end in (await consumer.end_offsets(partitions)).items()}
    waiting = {tp for tp, end in found.items() if end > 0}
    for tp in partitions:
        consumer.seek(tp, max(0, found[tp] - 1))
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + READ_STALL_S
    while waiting and loop.time() < deadline_s:
        await consumer.getmany(*waiting, timeout_ms=FETCH_WAIT_MS, max_records=1)
        for tp in list(waiting):
            highwater = consumer.highwater(tp)
            if highwater is not None:
                found[tp] = max(found[tp], int(highwater))
                waiting.discard(tp)
    return found


async def records(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, stop: int
) -> AsyncIterator[Message]:
    """Messages of [start, stop). Raises ``TimeoutError`` if reading does not come on."""
    if start >= stop:
        return
    tp = TopicPartition(topic, partition)
    consumer.seek(tp, start)
    loop = asyncio.get_running_loop()
    moved_s, position = loop.time(), start
    while position < stop:
        fetched = await consumer.getmany(tp, timeout_ms=FETCH_WAIT_MS, max_records=POLL_MESSAGES)
        for record in fetched.get(tp, ()):
            if record.offset >= stop:
                return
            yield to_message(record)
        reached = await consumer.position(tp)
        if reached > position:
            moved_s, position = loop.time(), reached
        elif loop.time() - moved_s > READ_STALL_S:
            raise TimeoutError(f"{topic}[{partition}] stalls at {position} before {stop}")


def to_message(record: ConsumerRecord) -> Message:
    """Our message from aiokafka's record."""
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
