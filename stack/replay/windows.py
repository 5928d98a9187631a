"""Which offsets of a topic a replay reads."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.runtime.reading import ends, first_offsets_since, records
from schemas.protocols import Message


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets [start, stop) of one partition; ``expired`` if it begins where retention has cut."""

    tp: TopicPartition
    start: int
    stop: int
    expired: bool


async def windows(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since_ms: int | None
) -> list[Window]:
    """What there is now, from that time on; partitions with nothing are left out.

    The ends are taken once, so that a replay never reads what it writes itself.
    """
    if not partitions:
        return []
    begins = await consumer.beginning_offsets(partitions)
    stops = await ends(consumer, list(partitions))
    starts = begins
    if since_ms is not None:
        starts = stops | await first_offsets_since(consumer, partitions, since_ms)
    return [
        Window(tp, starts[tp], stops[tp], 0 < begins[tp] == starts[tp])
        for tp in partitions
        if starts[tp] < stops[tp]
    ]


def window_records(consumer: AIOKafkaConsumer, window: Window) -> AsyncIterator[Message]:
    """Its messages; the consumer fetches nothing else meanwhile."""
    consumer.assign([window.tp])
    return records(consumer, window.tp.topic, window.tp.partition, window.start, window.stop)
