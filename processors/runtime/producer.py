"""A Kafka producer that keeps trying: one message at a time, until the broker has acknowledged it.

aiokafka's idempotent producer never gives a batch up, and a wedged one would wait for ever, so
each attempt has a deadline of its own; after it, or after an error that a producer cannot recover
from (fenced, out of sequence), the producer is replaced by a new one. A message may then arrive
twice; it is never lost. Errors that trying again cannot mend (authorisation, protocol version)
are raised: the worker stops.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from ingest.kafka import kafka_options
from processors.runtime.backoff import Backoff
from schemas.config import Config
from schemas.protocols import Clock, PoisonError

logger = logging.getLogger(__name__)

RECORD_OVERHEAD_BYTES = 64 << 10
"""Room for headers and framing above ``max_message_bytes``, here and in the topics' limits."""

SEND_DEADLINE_S = 45.0
"""Of one attempt: longer than a leader election, shorter than the watchdog's patience."""

REQUEST_TIMEOUT_MS = 20_000
CLOSE_TIMEOUT_S = 5.0

HOPELESS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
"""Errors that no retry mends: configuration, permissions."""

Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class _Connection:
    """One aiokafka producer; ``broken`` is set when it is given up."""

    producer: AIOKafkaProducer
    broken: asyncio.Event = field(default_factory=asyncio.Event)


class PersistentProducer:
    """Sends messages and waits for their acknowledgement (acks=all), for ever if need be."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config.kafka
        self._clock = clock
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Write one message; ends when the broker has acknowledged it.

        Raises :class:`PoisonError` (``record_too_large``) if the broker refuses its size, and one
        of :data:`HOPELESS` where no retry can help.
        """
        backoff = Backoff(self._clock)
        while True:
            try:
                await self._attempt(topic, value, key, headers, partition)
                return
            except MessageSizeTooLargeError:
                raise PoisonError("record_too_large", f"{len(value or b'')} bytes") from None
            except HOPELESS:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("produce to %s: %s; trying again", topic, type(error).__name__)
            await backoff.wait()

    async def stop(self) -> None:
        """Close without waiting for what is unacknowledged: nothing was acked because of it."""
        if self._connection is not None:
            self._give_up(self._connection)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_TIMEOUT_S)

    async def _attempt(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers,
        partition: int | None,
    ) -> None:
        connection = await self._connect()
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                acknowledged = await connection.producer.send(
                    topic, value, key, partition=partition, headers=list(headers)
                )
                broken = asyncio.ensure_future(connection.broken.wait())
                try:
                    await asyncio.wait((acknowledged, broken), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    broken.cancel()
                if not acknowledged.done() or acknowledged.cancelled():
                    raise TimeoutError("the producer was replaced")
                acknowledged.result()
        except TimeoutError:
            self._give_up(connection)
            raise
        except KafkaError as error:
            if not error.retriable and not isinstance(error, (MessageSizeTooLargeError, *HOPELESS)):
                self._give_up(connection)
            raise

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None:
                return self._connection
            producer = AIOKafkaProducer(
                **kafka_options(self._config),
                acks="all",
                enable_idempotence=self._config.idempotent_producer,
                compression_type="zstd",
                linger_ms=0,  # our own batches have lingered already
                max_batch_size=self._config.max_message_bytes,
                max_request_size=self._config.max_message_bytes + RECORD_OVERHEAD_BYTES,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            try:
                async with asyncio.timeout(SEND_DEADLINE_S):
                    await producer.start()
            except BaseException:
                await _close(producer)
                raise
            self._connection = _Connection(producer)
            return self._connection

    def _give_up(self, connection: _Connection) -> None:
        """Close a producer for good; whoever waits for it tries again with the next one."""
        if connection.broken.is_set():
            return
        connection.broken.set()
        if self._connection is connection:
            self._connection = None
        task = asyncio.ensure_future(_close(connection.producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    """Close without flushing: ``stop`` alone would wait for a broker that may never come back."""
    sender = producer._sender  # noqa: SLF001 - no public way to stop sending without a flush
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
        if sender is not None and sender.sender_task is not None:
            await asyncio.wait_for(sender.close(), CLOSE_TIMEOUT_S)
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), CLOSE_TIMEOUT_S)
