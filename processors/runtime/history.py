"""Reading a partition without joining a group: history for stages, lag, and gaps.

A stage's memory is rebuilt from what lies before its first new message. Nothing here commits or
moves an offset of a group. Transient faults are retried for ever.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ingest.kafka import kafka_options
from processors.runtime.backoff import Backoff
from processors.runtime.producer import HOPELESS, RECORD_OVERHEAD_BYTES
from schemas.config import Config
from schemas.protocols import Clock, History, Message

logger = logging.getLogger(__name__)

FETCH_WAIT_MS = 100
READ_STALL_S = 10.0
"""Without a record for this long the read starts again."""


class KafkaHistory:
    """Group-less reads for one worker; each opens and closes a consumer of its own."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def read(
        self, topic: str, partition: int, before: int | None, anchor_ms: int, history: History
    ) -> AsyncIterator[Message]:
        """See :class:`processors.runtime.pipeline.RecallReader`. The newest ``max_bytes`` only."""
        backoff = Backoff(self._clock)
        while True:
            try:
                async with self._consumer(topic, partition) as consumer:
                    start, stop = await _window(
                        consumer, TopicPartition(topic, partition), before, anchor_ms, history
                    )
                    newest = await _newest(consumer, topic, partition, (start, stop), history)
                break
            except HOPELESS:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("history of %s[%d]: %s", topic, partition, type(error).__name__)
                await backoff.wait()
        logger.info(
            "history of %s[%d]: %d messages from [%d, %d)",
            topic, partition, len(newest), start, stop,
        )  # fmt: skip
        for message in newest:
            yield message

    async def end_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """Offset after the last message of each partition. Raises ``KafkaError``, ``OSError``."""
        wanted = [TopicPartition(*key) for key in partitions]
        if not wanted:
            return {}
        async with self._consumer(*wanted[0]) as consumer:
            ends = await _ends(consumer, wanted)
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    async def holds_any(self, topic: str, partition: int, first: int, stop: int) -> bool:
        """Whether a message lies in [first, stop): compaction and transactions leave none."""
        backoff = Backoff(self._clock)
        while True:
            try:
                async with self._consumer(topic, partition) as consumer:
                    begin, end = await _bounds(consumer, TopicPartition(topic, partition))
                    window = max(first, begin), min(stop, end)
                    records = _records(consumer, topic, partition, *window)
                    async for _ in records:
                        return True
                    return False
            except HOPELESS:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("gap in %s[%d]: %s", topic, partition, type(error).__name__)
                await backoff.wait()

    async def committed(
        self, group: str, partitions: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """Where the group reads on: its committed offsets, the beginning where it has none.

        Raises ``KafkaError`` or ``OSError``.
        """
        wanted = [TopicPartition(*key) for key in partitions]
        if not wanted:
            return {}
        admin = AIOKafkaAdminClient(**kafka_options(self._config.kafka))
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(group, partitions=wanted)
        finally:
            await admin.close()
        offsets = {tp: entry.offset for tp, entry in found.items() if entry.offset >= 0}
        unknown = [tp for tp in wanted if tp not in offsets]
        if unknown:
            async with self._consumer(unknown[0].topic, unknown[0].partition) as consumer:
                consumer.assign(unknown)
                offsets |= await consumer.beginning_offsets(unknown)
        return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}

    @asynccontextmanager
    async def _consumer(self, topic: str, partition: int) -> AsyncIterator[AIOKafkaConsumer]:
        kafka = self._config.kafka
        consumer = AIOKafkaConsumer(
            **kafka_options(kafka),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=kafka.max_message_bytes + RECORD_OVERHEAD_BYTES,
        )
        try:
            await consumer.start()
            consumer.assign([TopicPartition(topic, partition)])
            yield consumer
        finally:
            await consumer.stop()


async def _bounds(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """First offset held, and the one after the last."""
    begin = int((await consumer.beginning_offsets([partition]))[partition])
    return begin, (await _ends(consumer, [partition]))[partition]


async def _ends(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset after the last message, as a fetch tells it.

    A broker's list of offsets is not enough: the embedded one answers with the *base* offset of the
    last batch plus one, which is too low after a batch of several messages.
    """
    consumer.assign(partitions)
    ends = {tp: int(end) for tp, end in (await consumer.end_offsets(partitions)).items()}
    waiting = {tp for tp, end in ends.items() if end > 0}
    for tp in partitions:
        consumer.seek(tp, max(0, ends[tp] - 1))
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + READ_STALL_S
    while waiting and loop.time() < deadline_s:
        await consumer.getmany(*waiting, timeout_ms=FETCH_WAIT_MS)
        for tp in list(waiting):
            highwater = consumer.highwater(tp)
            if highwater is not None:
                ends[tp] = max(ends[tp], int(highwater))
                waiting.discard(tp)
    return ends


async def _window(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    before: int | None,
    anchor_ms: int,
    history: History,
) -> tuple[int, int]:
    """[start, stop) offsets of the history."""
    begin, end = await _bounds(consumer, partition)
    stop = end if before is None else before
    if stop <= begin:
        return stop, stop
    if before is not None:
        async for last in _records(consumer, partition.topic, partition.partition, stop - 1, stop):
            anchor_ms = last.timestamp_ms
    since_ms = max(0, anchor_ms - round(history.window_s * 1000))
    found = (await consumer.offsets_for_times({partition: since_ms}))[partition]
    # A timestamp of -1 means that nothing is that young (the embedded broker says so past the end).
    if found is None or found.timestamp == -1:
        return (stop, stop) if before is None else (stop - 1, stop)
    return max(begin, min(found.offset, stop)), stop


async def _newest(
    consumer: AIOKafkaConsumer,
    topic: str,
    partition: int,
    window: tuple[int, int],
    history: History,
) -> deque[Message]:
    """The window's messages, the oldest left out beyond ``max_bytes``."""
    kept: deque[Message] = deque()
    size_bytes = 0
    async for message in _records(consumer, topic, partition, *window):
        kept.append(message)
        size_bytes += len(message.value or b"")
        while size_bytes > history.max_bytes and kept:
            size_bytes -= len(kept.popleft().value or b"")
    return kept


async def _records(
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
        fetched = await consumer.getmany(tp, timeout_ms=FETCH_WAIT_MS)
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
