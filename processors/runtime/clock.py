"""The real clock."""

import asyncio
import time


class SystemClock:
    """Time as the machine tells it."""

    def time_ns(self) -> int:
        """Wall clock, ns since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
