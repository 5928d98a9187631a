"""Messages that wait for Kafka: bounded in bytes and in number, shared by two threads."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Packed(NamedTuple):
    """One serialised request and the number of spans or log records in it."""

    value: bytes
    items: int


class Buffer:
    """Holds a message from ``put`` until it is replaced by nothing, also while it is being sent."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._changed = threading.Condition()
        self._queue: deque[Packed] = deque()
        self._held_bytes = self._held_messages = self._held_items = 0
        self._closed = False

    def put(self, message: Packed) -> bool:
        """Take it, unless the bounds would be exceeded; never waits."""
        with self._changed:
            if (
                self._closed
                or self._held_messages >= self._max_messages
                or self._held_bytes + len(message.value) > self._max_bytes
            ):
                return False
            self._hold(message)
            self._queue.append(message)
            return True

    def take(self, max_messages: int, max_bytes: int) -> list[Packed]:
        """The oldest ones for sending, at least one if any waits; they stay held."""
        taken: list[Packed] = []
        size_bytes = 0
        with self._changed:
            while self._queue and len(taken) < max_messages:
                size_bytes += len(self._queue[0].value)
                if taken and size_bytes > max_bytes:
                    break
                taken.append(self._queue.popleft())
        return taken

    def replace(self, message: Packed, parts: Sequence[Packed] = ()) -> bool:
        """Put these (none if it is done with) in the place of one that was taken.

        They go ahead of those that wait. False if the buffer was closed meanwhile.
        """
        with self._changed:
            if self._closed:
                return False
            self._release(message)
            for part in reversed(parts):
                self._hold(part)
                self._queue.appendleft(part)
            self._changed.notify_all()
            return True

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing is held; False if that took longer."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while self._held_messages:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
            return True

    def close(self) -> int:
        """Forget everything, taken or not, and take nothing more; the number of items forgotten."""
        with self._changed:
            self._closed = True
            items = self._held_items
            self._queue.clear()
            self._held_bytes = self._held_messages = self._held_items = 0
            self._changed.notify_all()
            return items

    def held(self) -> tuple[int, int]:
        """(items, bytes) held now."""
        with self._changed:
            return self._held_items, self._held_bytes

    def _hold(self, message: Packed) -> None:
        self._held_bytes += len(message.value)
        self._held_messages += 1
        self._held_items += message.items

    def _release(self, message: Packed) -> None:
        self._held_bytes -= len(message.value)
        self._held_messages -= 1
        self._held_items -= message.items
