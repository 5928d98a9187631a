"""The gateway's Kafka producer: starts without a broker, notices its absence, comes back.

``send`` ends with the broker's acknowledgement (acks=all). aiokafka's idempotent producer retries
for ever, so callers keep a deadline of their own; while the oldest message waits longer than that
deadline, or no broker answers, ``available`` is false and new requests are refused unread. A
producer that can never send again (fenced, out of sequence), or that has had no answer for long, is
replaced: the next one reads the password and the certificates anew. What it still held is refused.
"""

import asyncio
import contextlib
import itertools
import logging
import random
import time

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from ingest import telemetry
from ingest.coalesce import Destination
from ingest.kafka import kafka_options
from ingest.signals import SIGNALS
from schemas.config import Config
from schemas.protocols import RetryableError
from schemas.secrets import SecretFileError
from schemas.topics import TENANT_HEADER

log = logging.getLogger(__name__)

RECORD_OVERHEAD_BYTES = 4096
"""Room for the record's headers and framing (a tenant's name too) below the topic's limit."""
_PROBE_INTERVAL_S = 2.0
_PROBE_TIMEOUT_S = 2.0
_START_TIMEOUT_S = 10.0
_REPLACE_AFTER_S = 15.0
"""Without an answer, or the deadline where that is longer: a client keeps the password it began
with, and a broker that was given another refuses it for ever."""
_BACKOFF_FIRST_S = 0.25
_BACKOFF_LONGEST_S = 4.0
_CLOSE_TIMEOUT_S = 3.0
_RETRY_BACKOFF_MS = 250
"""Between aiokafka's retries; each logs three lines while the broker is away."""


class GatewayProducer:
    """Sends message values of a tenant to the gateway's own topics."""

    def __init__(self, config: Config) -> None:
        """Raises :class:`SecretFileError` for a password or certificate that cannot be used now."""
        kafka_options(config.kafka)
        self._config = config
        self._deadline_s = config.gateway.produce_deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._given_up: asyncio.Future[None] | None = None
        self._unusable = False
        self._answering = False
        self._away_since_s: float | None = None
        self._pending: dict[int, float] = {}
        self._numbers = itertools.count()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether a message sent now may be expected to be acknowledged in time."""
        if self._producer is None or self._unusable or not self._answering:
            return False
        oldest_s = next(iter(self._pending.values()), None)
        return oldest_s is None or time.monotonic() - oldest_s < self._deadline_s

    async def start(self) -> None:
        """Begin connecting; returns at once, whether or not a broker is there."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Flush and close, within a few seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)

    async def send(self, destination: Destination, value: bytes) -> None:
        """Produce one message; ends when the broker has acknowledged it, however long it takes.

        Raises :class:`RetryableError` if it was not taken.
        """
        with telemetry.span("gateway.produce") as span:
            span.set(telemetry.TOPIC, destination.topic)
            span.set(telemetry.BYTES, len(value))
            written = await self._sent(destination, value)
            span.set(telemetry.PARTITION, str(written.partition))
            span.set(telemetry.OFFSET, written.offset)

    async def _sent(self, destination: Destination, value: bytes) -> RecordMetadata:
        producer, given_up = self._producer, self._given_up
        if producer is None or given_up is None:
            raise RetryableError("no broker")
        number = next(self._numbers)
        self._pending[number] = time.monotonic()
        try:
            acknowledged = await producer.send(
                destination.topic,
                value,
                headers=[(TENANT_HEADER, destination.tenant.encode())],
            )
            await asyncio.wait((acknowledged, given_up), return_when=asyncio.FIRST_COMPLETED)
            if not acknowledged.done() or acknowledged.cancelled():
                raise RetryableError("the producer was closed")
            return acknowledged.result()
        except KafkaError as error:
            if not error.retriable and not isinstance(error, MessageSizeTooLargeError):
                self._unusable = True
            raise RetryableError(type(error).__name__) from None
        finally:
            del self._pending[number]

    async def _keep(self) -> None:
        """Connect, watch, reconnect, for as long as the gateway runs."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                connected = await self._tend()
            except Exception:  # a bug must be seen, and not leave the gateway without its keeper
                log.exception("watching the producer failed")
                connected = False
            if connected:
                backoff_s = _BACKOFF_FIRST_S
                await asyncio.sleep(_PROBE_INTERVAL_S)
            else:
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311
                backoff_s = min(backoff_s * 2, _BACKOFF_LONGEST_S)

    async def _tend(self) -> bool:
        """One look at the producer; whether there is one."""
        if self._unusable or self._away_for_long():
            log.warning("producer unusable or without an answer for long, replacing it")
            await self._discard()
        if self._producer is None and not await self._connect():
            return False
        await self._probe()
        return True

    def _away_for_long(self) -> bool:
        if self._away_since_s is None:
            return False
        away_s = time.monotonic() - self._away_since_s
        return away_s > max(_REPLACE_AFTER_S, self._deadline_s)

    async def _connect(self) -> bool:
        kafka, gateway = self._config.kafka, self._config.gateway
        try:
            options = kafka_options(kafka)
        except SecretFileError as error:
            log.error("cannot connect to the broker: %s", error)
            return False
        producer = AIOKafkaProducer(
            **options,
            acks="all",
            enable_idempotence=kafka.idempotent_producer,
            compression_type="zstd",
            linger_ms=0,  # the coalescer has lingered already
            max_batch_size=min(gateway.batch_bytes, kafka.max_message_bytes),
            max_request_size=kafka.max_message_bytes,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            request_timeout_ms=max(1000, int(self._deadline_s * 1000)),
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await producer.start()
                for signal in SIGNALS:
                    await producer.client.add_topic(signal.topic.name)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("no broker yet: %s", type(error).__name__)
            await _close(producer)
            return False
        except BaseException:  # stopped meanwhile, or a bug: nothing must stay open
            await _close(producer)
            raise
        self._producer, self._unusable = producer, False
        self._given_up = asyncio.get_running_loop().create_future()
        return True

    async def _probe(self) -> None:
        """Ask for the topics' metadata: tells a broker that went away from one that is idle."""
        if self._producer is None:
            return
        client = self._producer.client
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                reached = bool(await client.force_metadata_update())
        except (KafkaError, OSError, TimeoutError):
            reached = False
        if reached:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = time.monotonic()
        answering = reached and all(
            client.cluster.partitions_for_topic(signal.topic.name) for signal in SIGNALS
        )
        if answering != self._answering:
            self._answering = answering
            if answering:
                log.info("broker answers")
            else:
                topics = ", ".join(signal.topic.name for signal in SIGNALS)
                log.warning("broker away, or without the topics %s", topics)

    async def _discard(self) -> None:
        """Close without a flush, which would wait for a broker that may never take it."""
        producer, self._producer = self._producer, None
        self._unusable = self._answering = False
        self._away_since_s = None
        if self._given_up is not None and not self._given_up.done():
            self._given_up.set_result(None)
        if producer is None:
            return
        sender = producer._sender  # noqa: SLF001 - no public way to stop sending without a flush
        if sender is not None and sender.sender_task is not None:
            await asyncio.wait((asyncio.ensure_future(sender.close()),), timeout=_CLOSE_TIMEOUT_S)
        await _close(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("producer not closed cleanly: %s", type(error).__name__)
