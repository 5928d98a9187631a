"""Waiting between attempts: exponential, capped, jittered, for ever.

A retry is a sign of life: the watchdog must not restart a worker because ClickHouse or the broker
has been away for long.
"""

import random

from processors.runtime.life import note_life
from schemas.protocols import Clock

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 15.0


class Backoff:
    """Waits of one operation's retries; a fresh one for each operation."""

    def __init__(
        self, clock: Clock, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S
    ) -> None:
        self._clock = clock
        self._next_s = first_s
        self._longest_s = longest_s
        self.attempts = 0
        """Failed attempts so far."""

    async def wait(self) -> None:
        """Wait between half and all of the current step, then double it up to the cap."""
        note_life(self._clock.monotonic())
        self.attempts += 1
        await self._clock.sleep(self._next_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._next_s = min(self._next_s * 2, self._longest_s)
