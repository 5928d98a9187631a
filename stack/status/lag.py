"""How far each stage is behind, from Kafka's committed and last offsets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.app import STAGES, StageSpec
from processors.runtime.reading import (
    FETCH_WAIT_MS,
    committed_offsets,
    ends,
    group_less_consumer,
    partitions_of,
)
from schemas.config import Config
from schemas.topics import TOPICS

OLDEST_PARTITIONS = 32
"""Of one stage that are asked for their oldest unread message: those that lag most."""
OLDEST_WAIT_S = 3.0
FETCH_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class StageLag:
    """One consumer group. ``started`` is false if it never committed anything."""

    stage: str
    messages: int
    by_topic: Mapping[str, int]
    oldest_unread_ms: int | None
    """Kafka's time of the oldest message not read; None if there is none or it was not told."""
    started: bool


async def read_lag(config: Config) -> list[StageLag]:
    """Every stage, in the order of the flow. Raises ``KafkaError``, ``OSError``.

    Raises ``ValueError`` if there are no topics.
    """
    partitions = await partitions_of(config.kafka, [topic.name for topic in TOPICS])
    if not partitions:
        raise ValueError("Kafka has none of our topics: run streamgauge migrate")
    places = [TopicPartition(name, number) for name in partitions for number in partitions[name]]
    async with group_less_consumer(config.kafka, FETCH_BYTES) as consumer:
        begin = await consumer.beginning_offsets(places)
        # Committed before ends: a message read meanwhile must not look like a negative lag.
        committed = {
            spec.name: await committed_offsets(config.kafka, spec.group, _own(spec, places))
            for spec in STAGES
        }
        end = await ends(consumer, places)
        found = []
        for spec in STAGES:
            known = committed[spec.name]
            # A group without a commit starts at the beginning, one that lags too far as well.
            next_offsets = {
                tp: max(known.get(tp, 0), begin[tp])
                for tp in _own(spec, places)
                if end[tp] > max(known.get(tp, 0), begin[tp])
            }
            lag = {tp: end[tp] - offset for tp, offset in next_offsets.items()}
            worst = sorted(lag, key=lambda tp: -lag[tp])[:OLDEST_PARTITIONS]
            oldest = await _oldest(consumer, {tp: next_offsets[tp] for tp in worst})
            by_topic: dict[str, int] = {}
            for tp, messages in lag.items():
                by_topic[tp.topic] = by_topic.get(tp.topic, 0) + messages
            found.append(
                StageLag(spec.name, sum(lag.values()), by_topic, oldest, started=bool(known))
            )
    return found


def _own(spec: StageSpec, places: list[TopicPartition]) -> list[TopicPartition]:
    topics = {topic.name for topic in spec.consumes}
    return [tp for tp in places if tp.topic in topics]


async def _oldest(
    consumer: AIOKafkaConsumer, next_offsets: Mapping[TopicPartition, int]
) -> int | None:
    """Time of the oldest message at these offsets, of those that come soon."""
    if not next_offsets:
        return None
    consumer.assign(list(next_offsets))
    for tp, offset in next_offsets.items():
        consumer.seek(tp, offset)
    times: list[int] = []
    waiting = set(next_offsets)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + OLDEST_WAIT_S
    while waiting and loop.time() < deadline_s:
        fetched = await consumer.getmany(*waiting, timeout_ms=FETCH_WAIT_MS, max_records=1)
        for tp, records in fetched.items():
            times.append(records[0].timestamp)
            waiting.discard(tp)
    return min(times, default=None)
