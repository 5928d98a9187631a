"""Kafka's side of the books: what was acknowledged, what waits, what is not stored yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.app import stage_spec
from processors.batches import readable_records
from processors.runtime.clock import SystemClock
from processors.runtime.history import KafkaHistory
from processors.runtime.reading import (
    ends,
    first_offsets_since,
    group_less_consumer,
    partitions_of,
    records,
)
from schemas.config import Config
from schemas.dead_letters import decode_headers
from schemas.encoding import BatchError
from schemas.protocols import Message
from schemas.records import LedgerRow
from schemas.topics import DEAD_LETTERS, LEDGER, RAW_LOGS, RAW_SPANS

UNREAD_MESSAGES_MAX = 20_000
"""Of each topic that ``store`` is behind on. Beyond it the books stay open: nothing can be said."""

BOOKKEEPERS = ("traces", "operations")
Place = tuple[str, int, int]
"""Topic, partition and offset of a raw message."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One stage and raw topic: offsets [starts, stops) of each partition were acknowledged.

    ``waiting`` messages lie behind them.
    """

    stage: str
    topic: str
    starts: Mapping[int, int]
    stops: Mapping[int, int]
    waiting: int

    @property
    def messages(self) -> int:
        """How many were acknowledged."""
        return sum(stop - self.starts[number] for number, stop in self.stops.items())

    def holds(self, place: Place) -> bool:
        """Whether that message is one of them."""
        topic, partition, offset = place
        if topic != self.topic or partition not in self.stops:
            return False
        return self.starts[partition] <= offset < self.stops[partition]


@dataclass(slots=True)
class Positions:
    """Everything that Kafka knows of the books."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    unread_rows: set[Place] = field(default_factory=set)
    """Raw messages whose row by ``operations`` is on its topic and not stored yet."""
    unread_letters: set[Place] = field(default_factory=set)
    """Raw messages of which a dead letter is on its topic and not stored yet."""
    behind: str = ""
    """Why the books cannot be closed, if ``store`` is too far behind."""


async def read_positions(config: Config, since_ms: int) -> Positions:
    """Positions of the messages that are not older, by Kafka's time.

    What was acknowledged is asked before what is unread: a row is written before its message is
    acknowledged, so it is in one of the two, or stored. Raises ``KafkaError``, ``OSError``.
    """
    raw = [topic.name for topic in (*RAW_SPANS, *RAW_LOGS)]
    partitions = await partitions_of(config.kafka, [*raw, LEDGER.name, DEAD_LETTERS.name])
    history = KafkaHistory(config, SystemClock())
    found = Positions()
    async with group_less_consumer(config.kafka) as consumer:
        for stage in BOOKKEEPERS:
            spec = stage_spec(stage)
            for topic in (topic.name for topic in spec.consumes if topic.name in partitions):
                keys = [(topic, number) for number in partitions[topic]]
                committed = await history.committed(spec.group, keys)
                found.acknowledged.append(
                    await _acknowledged(consumer, stage, topic, committed, since_ms)
                )
        unread = stage_spec("store").group
        for topic in (LEDGER.name, DEAD_LETTERS.name):
            keys = [(topic, number) for number in partitions.get(topic, ())]
            committed = await history.committed(unread, keys)
            await _read_unread(consumer, committed, found)
    return found


async def _acknowledged(
    consumer: AIOKafkaConsumer,
    stage: str,
    topic: str,
    committed: Mapping[tuple[str, int], int],
    since_ms: int,
) -> Acknowledged:
    tps = [TopicPartition(*key) for key in committed]
    end = await ends(consumer, tps)
    starts = end | await first_offsets_since(consumer, tps, since_ms)
    stops = {tp: max(starts[tp], committed[tp.topic, tp.partition]) for tp in tps}
    return Acknowledged(
        stage,
        topic,
        {tp.partition: starts[tp] for tp in tps},
        {tp.partition: stops[tp] for tp in tps},
        sum(max(0, end[tp] - committed[tp.topic, tp.partition]) for tp in tps),
    )


async def _read_unread(
    consumer: AIOKafkaConsumer, committed: Mapping[tuple[str, int], int], found: Positions
) -> None:
    """Note what the messages that ``store`` has not acknowledged tell."""
    tps = [TopicPartition(*key) for key in committed]
    if not tps:
        return
    end = await ends(consumer, tps)
    unread = sum(max(0, end[tp] - committed[tp.topic, tp.partition]) for tp in tps)
    if unread > UNREAD_MESSAGES_MAX:
        found.behind = f"store has {unread:,} messages of {tps[0].topic} to read"
        return
    for tp in tps:
        start = committed[tp.topic, tp.partition]
        consumer.assign([tp])
        async for message in records(consumer, tp.topic, tp.partition, start, end[tp]):
            if message.topic == LEDGER.name:
                found.unread_rows.update(_rows(message))
            else:
                found.unread_letters.update(_letter(message))


def _rows(message: Message) -> Iterable[Place]:
    try:
        rows, _ = readable_records(LedgerRow, message.value)
    except BatchError:
        return []
    return [(row.topic, row.partition, row.offset) for row in rows]


def _letter(message: Message) -> Iterable[Place]:
    try:
        said = decode_headers(message)
    except ValueError:
        return []
    return [(said.origin_topic, said.origin_partition, said.origin_offset)]
