"""Reads operations and verdicts from now on, without a group, and hands calls to the screen."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.batches import readable_records
from processors.runtime.reading import (
    POLL_MESSAGES,
    ends,
    first_offsets_since,
    group_less_consumer,
    partitions_of,
    to_message,
)
from schemas.config import Config
from schemas.encoding import BatchError
from schemas.protocols import Message
from schemas.records import Evaluation, Operation
from schemas.topics import EVALUATIONS, OPERATIONS
from stack.tail.calls import Calls, SeenCall

VERDICT_WAIT_S = 5.0
"""A call is shown this long after it came, whatever is missing."""
POLL_MS = 200
KAFKA_WAIT_S = 20.0

Show = Callable[[SeenCall], None]


async def follow(
    config: Config, calls: Calls, since_ms: int | None, count: int, show: Show
) -> None:
    """Show calls until ``count`` of them were (0: for ever).

    Raises ``KafkaError``, ``OSError`` if no broker answers at first, ``ValueError`` without topics.
    """
    shown = 0
    loop = asyncio.get_running_loop()
    async for messages in _batches(config, since_ms):
        for message in messages:
            _learn(calls, message, loop.time())
        for call in calls.ready(loop.time()):
            show(call)
            shown += 1
            if shown == count:
                return


def _learn(calls: Calls, message: Message, now_s: float) -> None:
    try:
        if message.topic == OPERATIONS.name:
            for operation in readable_records(Operation, message.value)[0]:
                calls.add_operation(operation, now_s)
        else:
            for row in readable_records(Evaluation, message.value)[0]:
                calls.add_evaluation(row)
    except BatchError:
        return  # whoever processes it tells; a tail only looks


async def _batches(config: Config, since_ms: int | None) -> AsyncIterator[list[Message]]:
    """What came since the last time, at least every :data:`POLL_MS`."""
    async with asyncio.timeout(KAFKA_WAIT_S):
        partitions = await partitions_of(config.kafka, (OPERATIONS.name, EVALUATIONS.name))
    places = [TopicPartition(name, number) for name in partitions for number in partitions[name]]
    if not places:
        raise ValueError("Kafka has none of our topics: run streamgauge migrate")
    async with group_less_consumer(config.kafka) as consumer:
        await _seek(consumer, places, since_ms)
        while True:
            fetched = await consumer.getmany(*places, timeout_ms=POLL_MS, max_records=POLL_MESSAGES)
            yield [to_message(record) for records in fetched.values() for record in records]


async def _seek(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], since_ms: int | None
) -> None:
    starts = await ends(consumer, places)
    if since_ms is not None:
        starts |= await first_offsets_since(consumer, places, since_ms)
    for place in places:
        consumer.seek(place, starts[place])
