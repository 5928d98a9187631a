"""Stages without a broker: in-memory outputs, source and clock, and ``run_stage``.

For unit and conformance tests. The pipeline is the real one; only the broker is a list. A crash is
what it is in production: a new stage, a new pipeline, and the source again from its commit.

    outputs, clock = MemoryOutputs(), FakeClock()
    stage = OperationsStage(config, outputs, clock)
    source = MemorySource()
    source.add("otlp_spans", request.SerializeToString())
    await run_stage(stage, source, outputs, clock=clock)
    assert outputs.records("genai.fragments.v1") == [...]
"""

import asyncio
import heapq
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from processors.runtime.errors import FatalStageError
from processors.runtime.pipeline import Pipeline, TopicPartition
from schemas.config import Config
from schemas.encoding import RECORDS, decode_batch, encode_batch
from schemas.protocols import Clock, DeadLetter, History, Message, RetryableError, Stage
from schemas.records import Record, encode_record
from schemas.topics import SCHEMA_HEADER, SCHEMA_VERSION, TOPICS

_SCHEMAS = {topic.name: topic.schema for topic in TOPICS}
_SETTLE_STEPS = 50
"""Turns of the event loop after which ready callbacks are taken to have run."""

START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z: where :class:`FakeClock` and message timestamps begin."""


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self._start_ns = start_ns
        self._now_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def time_ns(self) -> int:
        """The start plus what was advanced."""
        return self._start_ns + round(self._now_s * 1e9)

    def monotonic(self) -> float:
        """Seconds advanced."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Wait until advanced past it."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in the order of their times."""
        await settle()
        target_s = self._now_s + seconds
        while self._sleepers and self._sleepers[0][0] <= target_s:
            self._now_s, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now_s = target_s
        await settle()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(_SETTLE_STEPS):
        await asyncio.sleep(0)


class MemoryOutputs:
    """Outputs kept in lists; may be told to fail or to hold acknowledgements.

    A record is kept only once its acknowledgement is given, in the order of the calls.
    """

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        """Dead letters taken."""
        self._taken: dict[str, list[tuple[int, Record]]] = defaultdict(list)
        self._failures = 0
        self._open = asyncio.Event()
        self._open.set()

    def records(self, topic: str) -> list[Record]:
        """Records taken by ``topic``, oldest first."""
        return [record for _, record in self._taken[topic]]

    def placed(self, topic: str) -> list[tuple[int, Record]]:
        """(partition, record) pairs taken by ``topic``, oldest first."""
        return list(self._taken[topic])

    def fail_next(self, times: int) -> None:
        """The next ``times`` calls raise :class:`RetryableError` and take nothing."""
        self._failures = times

    def hold(self) -> None:
        """Acknowledge nothing until :meth:`release`."""
        self._open.clear()

    def release(self) -> None:
        """Acknowledge what waits and what comes."""
        self._open.set()

    def emit(self, topic: str, partition: int, record: Record) -> Awaitable[None]:
        """Take one record; it is encoded now, as the real outputs do."""
        expected = RECORDS[_SCHEMAS[topic]]
        if not isinstance(record, expected):
            raise TypeError(f"{topic} takes {expected.__name__}, not {type(record).__name__}")
        taken = expected.model_validate_json(encode_record(record))
        return self._acknowledged(lambda: self._taken[topic].append((partition, taken)))

    def dead_letter(self, letter: DeadLetter) -> Awaitable[None]:
        """Take one dead letter."""
        return self._acknowledged(lambda: self.letters.append(letter))

    def _acknowledged(self, take: Callable[[], None]) -> Awaitable[None]:
        return asyncio.ensure_future(self._acknowledge(take))

    async def _acknowledge(self, take: Callable[[], None]) -> None:
        await self._open.wait()
        if self._failures > 0:
            self._failures -= 1
            raise RetryableError("outputs were told to fail")
        take()


class MemorySource:
    """Topics as lists of messages, with one committed offset per partition."""

    def __init__(self) -> None:
        self.log: dict[TopicPartition, list[Message]] = defaultdict(list)
        """Every message by (topic, partition)."""
        self.committed: dict[TopicPartition, int] = {}
        """Next offset to be read after a restart."""
        self.acked: list[tuple[str, int, int]] = []
        """(topic, partition, offset) in the order of acknowledgement, repeats included."""

    def add(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int = START_NS // 1_000_000,
    ) -> Message:
        """Append one message."""
        log = self.log[(topic, partition)]
        message = Message(topic, partition, len(log), timestamp_ms, key, value, tuple(headers))
        log.append(message)
        return message

    def add_batch(
        self,
        topic: str,
        records: Sequence[Record],
        *,
        partition: int = 0,
        timestamp_ms: int = START_NS // 1_000_000,
    ) -> Message:
        """Append one ``{"records":[...]}`` message, as the real outputs would write it."""
        value = encode_batch([encode_record(record) for record in records])
        schema = f"{_SCHEMAS[topic]}/{SCHEMA_VERSION}".encode()
        headers = ((SCHEMA_HEADER, schema),)
        return self.add(
            topic, value, partition=partition, headers=headers, timestamp_ms=timestamp_ms
        )

    def records(self, topic: str) -> list[Record]:
        """Records of every batch message of ``topic``."""
        kind = RECORDS[_SCHEMAS[topic]]
        logs = [log for (name, _), log in sorted(self.log.items()) if name == topic]
        return [record for log in logs for m in log for record in decode_batch(kind, m.value)]

    def pending(self, topics: Sequence[str]) -> list[Message]:
        """Messages of ``topics`` from the committed offsets on, partitions taking turns."""
        queues = [
            log[self.committed.get(key, 0) :]
            for key, log in sorted(self.log.items())
            if key[0] in topics
        ]
        turns = itertools.zip_longest(*queues)
        return [message for turn in turns for message in turn if message is not None]

    def ack(self, message: Message) -> None:
        """Note an acknowledgement; it is committed at once."""
        self.acked.append((message.topic, message.partition, message.offset))
        self.committed[(message.topic, message.partition)] = message.offset + 1

    async def holds_any(self, topic: str, partition: int, first: int, stop: int) -> bool:
        """Whether a message lies in [first, stop)."""
        return any(first <= message.offset < stop for message in self.log[(topic, partition)])

    async def read(
        self, topic: str, partition: int, before: int | None, anchor_ms: int, history: History
    ) -> AsyncIterator[Message]:
        """History for a pipeline, as :class:`processors.runtime.history.KafkaHistory` gives it."""
        older = self.log[(topic, partition)][:before]
        if before is not None and older:
            anchor_ms = older[-1].timestamp_ms
        since_ms = anchor_ms - round(history.window_s * 1000)
        chosen: list[Message] = []
        left_bytes = history.max_bytes
        for message in reversed(older):
            left_bytes -= len(message.value or b"")
            if message.timestamp_ms < since_ms or left_bytes < 0:
                break
            chosen.append(message)
        for message in reversed(chosen):
            yield message


async def run_stage(
    stage: Stage,
    source: MemorySource,
    outputs: MemoryOutputs,
    *,
    config: Config | None = None,
    clock: Clock | None = None,
    timeout_s: float = 10.0,
    messages: Sequence[Message] | None = None,
) -> Pipeline:
    """Run ``stage`` over what ``source`` holds (or ``messages``) until all of it is acknowledged.

    A :class:`FakeClock` is advanced while work is in flight, so that graces and backoffs end.
    The stage is started, and left running: the pipeline is returned for more. Raises what stopped
    or halted the stage, or ``TimeoutError`` with the number of messages in flight.
    """
    clock = clock or FakeClock()
    pipeline = Pipeline(stage, outputs, config or Config(), clock, recall=source)
    await pipeline.start()
    await feed(pipeline, source, messages or source.pending(stage.topics), clock, timeout_s)
    return pipeline


async def feed(
    pipeline: Pipeline,
    source: MemorySource,
    messages: Sequence[Message],
    clock: Clock,
    timeout_s: float = 10.0,
) -> None:
    """Offer ``messages`` to a started pipeline and wait until they are acknowledged.

    A message at or below its partition's last one is a redelivery: as with a broker, it follows a
    revocation and a new assignment.
    """

    async def offer_all() -> None:
        for message in messages:
            key = (message.topic, message.partition)
            if message.offset < pipeline.next_offsets().get(key, 0):
                await pipeline.revoke([key])
            await pipeline.offer(message, partial(source.ack, message))

    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    offering = asyncio.ensure_future(offer_all())
    try:
        while not offering.done() or pipeline.inflight_messages:
            if (ended := pipeline.fatal or pipeline.halted) is not None:
                raise ended
            if loop.time() > deadline:
                raise TimeoutError(f"{pipeline.inflight_messages} messages in flight")
            # A real pause too: inference and inserts run on threads that the clock cannot move.
            await asyncio.sleep(0.001)
            if isinstance(clock, FakeClock):
                await clock.advance(0.1)
        await offering
    except FatalStageError as error:
        raise pipeline.fatal or error from None
    finally:
        offering.cancel()
