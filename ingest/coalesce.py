"""Small exports of one tenant and signal share a Kafka message.

A stage pays per message, not per byte, so bodies that arrive within a short linger are
concatenated: concatenated export requests of one signal parse as one. Every sender is
answered after the shared acknowledgement. Bodies of different tenants or signals never meet.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Destination(NamedTuple):
    """Where a body goes: bodies of different destinations never meet."""

    topic: str
    tenant: str


Send = Callable[[Destination, bytes], Awaitable[None]]


class Coalescer:
    """Collects bodies per destination and hands each finished message to ``send``."""

    def __init__(self, send: Send, linger_s: float, target_bytes: int, cap_bytes: int) -> None:
        self._send = send
        self._linger_s = linger_s
        self._target_bytes = target_bytes
        self._cap_bytes = cap_bytes
        self._waiting: dict[Destination, _Batch] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def submit(
        self, destination: Destination, body: bytes, alone: bool = False
    ) -> asyncio.Future[None]:
        """Queue one serialised request of at most the cap's size.

        One that goes ``alone`` shares its message with nobody, so that whatever is wrong with it
        cannot concern others.
        The future ends with the acknowledgement of the message that carries the body, or with
        what ``send`` raised. It is shared: do not cancel it.
        """
        if alone:
            own = _Batch()
            own.add(body)
            self._start(destination, own)
            return own.acknowledged
        batch = self._waiting.get(destination)
        if batch is not None and batch.size_bytes + len(body) > self._cap_bytes:
            self._flush(destination)
            batch = None
        if batch is None:
            batch = self._waiting[destination] = _Batch()
            batch.timer = batch.loop.call_later(self._linger_s, self._flush, destination)
        batch.add(body)
        if batch.size_bytes >= self._target_bytes:
            self._flush(destination)
        return batch.acknowledged

    async def drain(self) -> None:
        """Send what waits and wait for all acknowledgements."""
        for destination in list(self._waiting):
            self._flush(destination)
        if self._sending:
            await asyncio.wait(self._sending)

    def _flush(self, destination: Destination) -> None:
        batch = self._waiting.pop(destination)
        if batch.timer is not None:
            batch.timer.cancel()
        self._start(destination, batch)

    def _start(self, destination: Destination, batch: "_Batch") -> None:
        task = asyncio.create_task(self._deliver(destination, batch))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, destination: Destination, batch: "_Batch") -> None:
        try:
            await self._send(destination, b"".join(batch.bodies))
        except BaseException as error:  # every sender of the batch must learn of it
            batch.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            batch.acknowledged.set_result(None)


class _Batch:
    """Bodies that will share one message."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.acknowledged: asyncio.Future[None] = self.loop.create_future()
        self.bodies: list[bytes] = []
        self.size_bytes = 0
        self.timer: asyncio.TimerHandle | None = None

    def add(self, body: bytes) -> None:
        """Append one body."""
        self.bodies.append(body)
        self.size_bytes += len(body)

    def fail(self, error: BaseException) -> None:
        """Give every sender the error; senders past their deadline no longer look."""
        if isinstance(error, asyncio.CancelledError):
            self.acknowledged.cancel()
        else:
            self.acknowledged.set_exception(error)
            self.acknowledged.exception()
