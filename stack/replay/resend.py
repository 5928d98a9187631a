"""Reads chosen messages and sends them to their topics, a bounded number at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import records
from schemas.dead_letters import replay_headers
from schemas.protocols import Message, PoisonError

INFLIGHT_MESSAGES = 64
INFLIGHT_BYTES = 32 << 20
"""Sent and not yet acknowledged: a replay must not need the memory of what it replays."""
READ_THROUGH_OFFSETS = 500
"""Chosen messages that lie closer together are read in one go, with those between them."""

Step = Callable[[int], None]
"""Told how many messages are done."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Where a message goes, and what is said of it there.

    ``partition`` None leaves the choice to the key, as for the first sender. ``origin_time_ms`` is
    set where the bytes are read at the letter's origin: another message may stand there by now.
    """

    topic: str
    partition: int | None
    attempts: int
    reason: str = ""
    tenant: str = ""
    origin_time_ms: int | None = None


@dataclass(slots=True)
class Sent:
    """What became of the chosen messages."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By reason and topic."""
    refused: Counter[str] = field(default_factory=Counter)
    """Not sent, by why."""


async def chosen_messages(
    consumer: AIOKafkaConsumer, choice: dict[TopicPartition, dict[int, Resend]], sent: Sent
) -> AsyncIterator[tuple[Message, Resend]]:
    """The chosen offsets' messages; what is no longer there is counted in ``sent``.

    Raises ``KafkaError``, ``TimeoutError``.
    """
    for tp, wanted in choice.items():
        consumer.assign([tp])
        missing = dict(wanted)
        for start, stop in _runs(sorted(wanted)):
            async for message in records(consumer, tp.topic, tp.partition, start, stop):
                resend = missing.pop(message.offset, None)
                if resend is None:
                    continue
                if resend.origin_time_ms not in (None, message.timestamp_ms):
                    sent.refused["its topic was re-created: the whole message is gone"] += 1
                    continue
                yield message, resend
        if missing:
            sent.refused["expired while the replay ran"] += len(missing)


async def send_all(
    messages: AsyncIterator[tuple[Message, Resend]], outputs: KafkaOutputs, sent: Sent, step: Step
) -> None:
    """Send each message as it was; ends when the broker has acknowledged all of them."""
    waiting: dict[asyncio.Task[None], int] = {}
    try:
        async for message, resend in messages:
            size = len(message.value or b"")
            while waiting and (
                len(waiting) >= INFLIGHT_MESSAGES or sum(waiting.values()) + size > INFLIGHT_BYTES
            ):
                await _first_done(waiting)
            task = asyncio.create_task(_send(message, resend, outputs, sent, step))
            waiting[task] = size
        while waiting:
            await _first_done(waiting)
    finally:
        for task in waiting:
            task.cancel()


async def _first_done(waiting: dict[asyncio.Task[None], int]) -> None:
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        del waiting[task]
        task.result()


async def _send(
    message: Message, resend: Resend, outputs: KafkaOutputs, sent: Sent, step: Step
) -> None:
    headers = replay_headers(message, resend.topic, resend.attempts, resend.tenant)
    try:
        await outputs.produce(
            resend.topic, message.value, message.key, headers, partition=resend.partition
        )
    except PoisonError:
        sent.refused["larger than kafka.max_message_bytes: raise it, here and at the topics"] += 1
    else:
        sent.sent[resend.reason, resend.topic] += 1
    step(1)


def _runs(offsets: Iterable[int]) -> Iterator[tuple[int, int]]:
    """[start, stop) ranges that cover the sorted offsets, without reading through large gaps."""
    start = last = -1
    for offset in offsets:
        if start >= 0 and offset - last > READ_THROUGH_OFFSETS:
            yield start, last + 1
            start = offset
        elif start < 0:
            start = offset
        last = offset
    if start >= 0:
        yield start, last + 1
