"""Outputs on Kafka: records batched per partition, each batch acknowledged before its records are.

A record is encoded and queued when ``emit`` is called; a batch waits ``linger_ms`` for company
unless it is full, and one batch per partition is in flight at a time, so order holds even through
retries. Transient faults are retried for ever (see :mod:`processors.runtime.producer`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field

from processors.runtime.clock import SystemClock
from processors.runtime.failpoints import failpoint
from processors.runtime.producer import Headers, PersistentProducer
from schemas.config import Config
from schemas.dead_letters import cut_headers, encode_headers
from schemas.encoding import encode_batch
from schemas.protocols import Clock, DeadLetter, PoisonError
from schemas.records import Record, encode_record
from schemas.topics import DEAD_LETTERS, SCHEMA_HEADER, SCHEMA_VERSION, TOPICS

FRAME_BYTES = len(encode_batch([]))


def _new_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class _Batch:
    """Records that will be one message."""

    opened_s: float
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = FRAME_BYTES
    acknowledged: asyncio.Future[None] = field(default_factory=_new_future)


@dataclass(slots=True, eq=False)
class _Lane:
    """One output partition: batches in order, the last one open, at most one being sent."""

    batches: deque[_Batch] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    sender: asyncio.Task[None] | None = None


class KafkaOutputs:
    """Outputs of one worker. Its calls belong to one event loop; :meth:`stop` ends it."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self._config = config
        self._producer = PersistentProducer(config, clock or SystemClock())
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._headers: dict[str, Headers] = {
            topic.name: ((SCHEMA_HEADER, f"{topic.schema}/{SCHEMA_VERSION}".encode()),)
            for topic in TOPICS
        }

    def emit(self, topic: str, partition: int, record: Record) -> Awaitable[None]:
        """Queue one record; see :class:`schemas.protocols.Outputs`.

        The awaitable raises :class:`PoisonError` (``record_too_large``) for a record that alone
        exceeds ``max_message_bytes``.
        """
        encoded = encode_record(record)
        if FRAME_BYTES + len(encoded) > self._config.kafka.max_message_bytes:
            refused = _new_future()
            refused.set_exception(PoisonError("record_too_large", f"{len(encoded)} bytes"))
            return refused
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[(topic, partition)] = _Lane()
        batch = self._open_batch(lane, len(encoded) + 1)
        batch.records.append(encoded)
        batch.size_bytes += len(encoded) + 1
        if lane.sender is None:
            lane.sender = asyncio.get_running_loop().create_task(
                self._send_all(topic, partition, lane)
            )
        if len(lane.batches) > 1 or batch.size_bytes >= self._config.runtime.batch_bytes:
            lane.ready.set()
        # Shielded: one message's task may be cancelled, the batch belongs to several.
        return asyncio.shield(batch.acknowledged)

    async def dead_letter(self, letter: DeadLetter) -> None:
        """Write one dead letter with the original key, headers and (its part of the) bytes.

        A broker limits compressed bytes, a producer those before: a message may come that is too
        large to be sent again. Its letter is cut, since a refused one would stop the worker.
        """
        try:
            await self.produce(
                DEAD_LETTERS.name, letter.value, letter.origin.key, encode_headers(letter)
            )
        except PoisonError:
            beginning = letter.value[: self._config.kafka.max_message_bytes // 2]
            await self.produce(DEAD_LETTERS.name, beginning, headers=cut_headers(letter))

    async def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Write one message as it is; ends when the broker has acknowledged it."""
        await self._producer.send(topic, value, key, headers, partition)

    async def stop(self) -> None:
        """Give up what is unacknowledged and close."""
        senders = [lane.sender for lane in self._lanes.values() if lane.sender is not None]
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        await self._producer.stop()

    def _open_batch(self, lane: _Lane, size: int) -> _Batch:
        """The batch that takes ``size`` more bytes: the last one if it has room, else a new one."""
        if lane.batches:
            last = lane.batches[-1]
            if last.size_bytes + size <= self._config.runtime.batch_bytes:
                return last
        batch = _Batch(asyncio.get_running_loop().time())
        lane.batches.append(batch)
        return batch

    async def _send_all(self, topic: str, partition: int, lane: _Lane) -> None:
        """Send the lane's batches one by one until there is none."""
        while lane.batches:
            await self._linger(lane)
            batch = lane.batches.popleft()
            try:
                await self._producer.send(
                    topic,
                    encode_batch(batch.records),
                    headers=self._headers[topic],
                    partition=partition,
                )
            except asyncio.CancelledError:
                batch.acknowledged.cancel()
                raise
            except Exception as error:  # whoever awaits the batch decides: poison or fail-stop
                batch.acknowledged.set_exception(error)
                continue
            failpoint("produced")
            batch.acknowledged.set_result(None)
        lane.sender = None

    async def _linger(self, lane: _Lane) -> None:
        """Wait until the first batch is full, or has waited ``linger_ms`` since it was opened."""
        runtime = self._config.runtime
        first = lane.batches[0]
        while len(lane.batches) == 1 and first.size_bytes < runtime.batch_bytes:
            left = first.opened_s + runtime.linger_ms / 1000 - asyncio.get_running_loop().time()
            if left <= 0:
                return
            lane.ready.clear()
            try:
                await asyncio.wait_for(lane.ready.wait(), left)
            except TimeoutError:
                return
