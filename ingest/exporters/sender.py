"""The thread that brings a buffer's messages to Kafka, with an event loop of its own.

Whatever goes wrong ends in one of two ways: the message stays in the buffer and is tried again
with a fresh producer after a pause, or it is dropped and counted. Nothing reaches the application.
"""

import asyncio
import contextlib
import logging
import random
import socket
import threading
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from opentelemetry import context

from ingest.exporters.buffer import Buffer, Packed
from ingest.exporters.packing import halves
from ingest.exporters.report import Report
from ingest.signals import Signal

log = logging.getLogger(__name__)

_ROUND_MESSAGES = 64
_ROUND_BYTES = 8 << 20
_CONNECT_TIMEOUT_S = 10.0
_REQUEST_TIMEOUT_MS = 10_000
_RETRY_BACKOFF_MS = 500
_CLOSE_TIMEOUT_S = 1.0
_JOIN_TIMEOUT_S = 2.0
_PAUSE_FIRST_S = 0.25
_PAUSE_LONGEST_S = 8.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Sender:
    """Sends what comes into the buffer. ``start`` again after a fork."""

    def __init__(
        self, options: dict[str, Any], topic: str, signal: Signal, buffer: Buffer, report: Report
    ) -> None:
        """``options`` are the Kafka producer's."""
        self._options = options
        self._topic = topic
        self._signal = signal
        self._buffer = buffer
        self._report = report
        self._producer: AIOKafkaProducer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"kafka-{signal.item}-exporter", daemon=True
        )

    def start(self) -> None:
        """Start the thread; its loop is there when this returns."""
        self._thread.start()
        self._started.wait()

    def wake(self) -> None:
        """Something came into the buffer."""
        self._call(self._work.set)

    def hurry(self) -> None:
        """Somebody waits for the buffer to be empty: end the pause after a failure."""
        self._call(self._hurry.set)

    def stop(self) -> None:
        """End the thread, whatever it is doing; what was not acknowledged stays in the buffer."""
        if self._main is not None:
            self._call(self._main.cancel)
        self._thread.join(_JOIN_TIMEOUT_S)

    def _call(self, function: Any) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        # Instrumentation of Kafka clients must not make spans of sending spans.
        context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: SLF001
        _quiet_threads.add(threading.get_ident())
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                self._loop = runner.get_loop()
                self._loop.set_exception_handler(_ignore)
                runner.run(self._send_for_ever())
        except asyncio.CancelledError:
            pass  # stop()
        finally:
            self._started.set()
            _quiet_threads.discard(threading.get_ident())

    async def _send_for_ever(self) -> None:
        self._main = asyncio.current_task()
        self._started.set()
        _quiet_aiokafka()
        pause_s = _PAUSE_FIRST_S
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while batch := self._buffer.take(_ROUND_MESSAGES, _ROUND_BYTES):
                    if await self._send(batch):
                        pause_s = _PAUSE_FIRST_S
                        continue
                    await self._disconnect()
                    await self._pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                    pause_s = min(2 * pause_s, _PAUSE_LONGEST_S)
        finally:
            await self._disconnect()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self._hurry.clear()

    async def _send(self, batch: list[Packed]) -> bool:
        """Send these at once; each one leaves the buffer or goes back. False if one failed."""
        sent: list[BaseException | None]
        try:
            producer = await self._connected()
        except Exception as fault:  # whatever answers on that port may be no Kafka at all
            sent = [fault] * len(batch)
        else:
            sent = await asyncio.gather(
                *(self._send_one(producer, message) for message in batch), return_exceptions=True
            )
        failed: BaseException | None = None
        for message, error in reversed(list(zip(batch, sent, strict=True))):
            if error is None:
                if self._buffer.replace(message):
                    self._report.acknowledged(message.items)
            elif isinstance(error, _TOO_LARGE):
                self._divide(message)
            else:
                failed = error
                self._buffer.replace(message, [message])
        if failed is not None:
            self._report.failed(failed)
        return failed is None

    async def _send_one(self, producer: AIOKafkaProducer, message: Packed) -> None:
        await (await producer.send(self._topic, message.value))

    def _divide(self, message: Packed) -> None:
        """The broker's limit is lower than ours: try two halves, or one shorter item."""
        parts = halves(message, self._signal)
        if self._buffer.replace(message, parts):
            lost = message.items - sum(part.items for part in parts)
            self._report.dropped(lost, "too_large")

    async def _connected(self) -> AIOKafkaProducer:
        """The producer, started. Raises what starting raises, in bounded time."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._options,
                acks="all",
                # Retries may write a message twice; readers know spans by their ids.
                enable_idempotence=False,
                compression_type="zstd",
                retry_backoff_ms=_RETRY_BACKOFF_MS,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
            )
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._producer.start()
        return self._producer

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):  # it is thrown away, and so is its complaint
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await producer.stop()


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names in its own thread, which serves nothing else.

    The usual pool of threads is closed before ``atexit`` handlers run, and that is when the
    last spans of a short program are sent.
    """

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


def _ignore(_loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
    log.debug("while sending: %s", details.get("message"))


_quiet_threads: set[int] = set()
"""Threads whose Kafka client says nothing: it logs several lines a second while the broker is
away, values at level DEBUG, and an application that exports its logs would export those."""


def _not_quiet(_record: logging.LogRecord) -> bool:
    return threading.get_ident() not in _quiet_threads


def _quiet_aiokafka() -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("aiokafka"):
            logging.getLogger(name).addFilter(_not_quiet)
