"""A TCP relay between the product and Kafka or ClickHouse, which can cut and slow it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

_CHUNK_BYTES = 64 << 10


class Network:
    """The event loop that carries every link, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run on that loop, to its end."""
        waiting: Future[None] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        waiting.result()

    def close(self) -> None:
        """Drop everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Link:
    """Relays one port of loopback to another; open until told otherwise.

    ``cut`` ends every connection and lets none begin; ``delay_s`` holds each piece back for that
    long, in both directions. ``seen`` is asked about each piece on its way to the server.
    """

    def __init__(self, network: Network, port: int, target: int) -> None:
        self.port = port
        self.delay_s = 0.0
        self.seen: Callable[[bytes], None] = lambda _: None
        self._network = network
        self._target = target
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        network.run(self._listen())

    def cut(self) -> None:
        """End every connection; refuse new ones."""
        self._is_cut = True
        self._network.run(self._drop())

    def mend(self) -> None:
        """Open again, without delay."""
        self._is_cut = False
        self.delay_s = 0.0

    async def _listen(self) -> None:
        await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._is_cut:
                raise ConnectionError("cut")
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_upstream}
        try:
            await asyncio.gather(
                self._carry(reader, to_upstream, self.seen_now), self._carry(upstream, writer)
            )
        finally:
            self._writers -= {writer, to_upstream}
            for end in (writer, to_upstream):
                end.transport.abort()

    def seen_now(self, piece: bytes) -> None:
        """Ask whoever watches now."""
        self.seen(piece)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(piece)
                await writer.drain()
                seen(piece)
        writer.transport.close()
