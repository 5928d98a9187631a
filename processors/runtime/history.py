"""Reading a partition without joining a group: history for stages, lag, and gaps.

A stage's memory is rebuilt from what lies before its first new message. Nothing here commits or
moves an offset of a group. Transient faults are retried for ever.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from processors.runtime.backoff import Backoff
from processors.runtime.life import note_life
from processors.runtime.producer import HOPELESS
from processors.runtime.reading import (
    bounds,
    committed_offsets,
    ends,
    first_offsets_since,
    group_less_consumer,
    records,
)
from schemas.config import Config
from schemas.protocols import Clock, History, Message

logger = logging.getLogger(__name__)


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
                async with self._consumer((topic, partition)) as consumer:
                    start, stop = await _window(
                        consumer, TopicPartition(topic, partition), before, anchor_ms, history
                    )
                    newest = await self._newest(consumer, topic, partition, start, stop, history)
                break
            except HOPELESS:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                note_life(self._clock.monotonic())
                logger.warning("history of %s[%d]: %s", topic, partition, type(error).__name__)
                await backoff.wait()
        logger.info(
            "history of %s[%d]: %d messages from [%d, %d)",
            topic, partition, len(newest), start, stop,
        )  # fmt: skip
        for message in newest:
            yield message

    async def _newest(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        partition: int,
        start: int,
        stop: int,
        history: History,
    ) -> deque[Message]:
        """The window's messages, the oldest left out beyond ``max_bytes``."""
        kept: deque[Message] = deque()
        size_bytes = 0
        async for message in records(consumer, topic, partition, start, stop):
            note_life(self._clock.monotonic())
            kept.append(message)
            size_bytes += len(message.value or b"")
            while size_bytes > history.max_bytes and kept:
                size_bytes -= len(kept.popleft().value or b"")
        return kept

    async def end_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """Offset after the last message of each partition. Raises ``KafkaError``, ``OSError``."""
        wanted = [TopicPartition(*key) for key in partitions]
        if not wanted:
            return {}
        async with self._consumer(wanted[0]) as consumer:
            found = await ends(consumer, wanted)
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def holds_any(self, topic: str, partition: int, first: int, stop: int) -> bool:
        """Whether a message lies in [first, stop): compaction and transactions leave none."""
        backoff = Backoff(self._clock)
        while True:
            try:
                async with self._consumer((topic, partition)) as consumer:
                    begin, end = await bounds(consumer, TopicPartition(topic, partition))
                    window = max(first, begin), min(stop, end)
                    async for _ in records(consumer, topic, partition, *window):
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
        offsets = await committed_offsets(self._config.kafka, group, wanted)
        unknown = [tp for tp in wanted if tp not in offsets]
        if unknown:
            async with self._consumer(unknown[0]) as consumer:
                consumer.assign(unknown)
                offsets |= await consumer.beginning_offsets(unknown)
        return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}

    @asynccontextmanager
    async def _consumer(self, partition: tuple[str, int]) -> AsyncIterator[AIOKafkaConsumer]:
        async with group_less_consumer(self._config.kafka) as consumer:
            consumer.assign([TopicPartition(*partition)])
            yield consumer


async def _window(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    before: int | None,
    anchor_ms: int,
    history: History,
) -> tuple[int, int]:
    """[start, stop) offsets of the history."""
    begin, end = await bounds(consumer, partition)
    stop = end if before is None else before
    if stop <= begin:
        return stop, stop
    if before is not None:
        async for last in records(consumer, partition.topic, partition.partition, stop - 1, stop):
            anchor_ms = last.timestamp_ms
    since_ms = max(0, anchor_ms - round(history.window_s * 1000))
    found = (await first_offsets_since(consumer, [partition], since_ms)).get(partition)
    if found is None:
        return (stop, stop) if before is None else (stop - 1, stop)
    return max(begin, min(found, stop)), stop
