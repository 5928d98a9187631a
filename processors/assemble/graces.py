"""Waiting for what may still come, on the stage's clock.

One sleeping task serves every grace, since a busy stage holds thousands of them.
"""

import asyncio
import heapq
from dataclasses import dataclass
from itertools import count

from schemas.protocols import Clock


@dataclass(slots=True, eq=False)
class Pending:
    """One emission that waits. ``ready`` completes when the grace is over, for whatever reason.

    ``settles`` marks a wait for more evidence to come together, which nothing but time ends;
    other graces end when what they wait for has come. ``late`` says that it was cut short.
    """

    ready: asyncio.Future[None]
    deadline: float
    settles: bool
    late: bool = False

    def release(self) -> None:
        """End the grace now."""
        if not self.ready.done():
            self.ready.set_result(None)


class Graces:
    """Wakes futures at their deadlines (monotonic seconds)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._sleeper: asyncio.Task[None] | None = None

    def wake_at(self, deadline: float, future: asyncio.Future[None]) -> None:
        """Complete ``future`` at ``deadline`` unless it is done by then."""
        heapq.heappush(self._heap, (deadline, next(self._order), future))
        if self._heap[0][2] is future or self._sleeper is None or self._sleeper.done():
            self._restart()

    def close(self) -> None:
        """Stop the sleeper; waiting futures stay as they are."""
        if self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    def _restart(self) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._sleeper = asyncio.create_task(self._sleep())

    async def _sleep(self) -> None:
        while self._heap:
            remaining = self._heap[0][0] - self._clock.monotonic()
            if remaining > 0:
                await self._clock.sleep(remaining)
            self._wake_due()

    def _wake_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].done()):
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
