"""Ends a worker that has work and does nothing, so that its supervisor starts a fresh one.

Consumers have died silently (fetchers that stop after a rebalance, lost recoveries). Two signs:
messages in flight, or partitions being prepared, without a sign of life (an offer, completion,
acknowledgement or retry, a batch that was scored, a message of the history) for ``stuck_s``; or the
broker holding messages past our position in a partition, and that position not moving for
``stuck_s``. While others are in flight a partition may just wait its turn, so that this counts only
as long as polls take all that is fetched: then what stands still is not fetched.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from aiokafka.errors import KafkaError

from processors.runtime.history import KafkaHistory
from processors.runtime.pipeline import Pipeline, TopicPartition

logger = logging.getLogger(__name__)

LOOK_S = 30.0
"""Longest wait for an answer to whether there are messages past our position."""


class StuckError(Exception):
    """The worker has work and makes no progress."""


class Watchdog:
    """Judges one worker each time :meth:`check` is called."""

    def __init__(
        self,
        pipeline: Pipeline,
        history: KafkaHistory,
        stuck_s: float,
        caught_up_s: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        """``caught_up_s`` tells when a poll last took all that was fetched, monotonic."""
        self._pipeline = pipeline
        self._history = history
        self._stuck_s = stuck_s
        self._caught_up_s = caught_up_s
        self._looked_s = time.monotonic()
        self._seen: dict[TopicPartition, tuple[int, float]] = {}

    async def check(self) -> None:
        """Raises :class:`StuckError` if the worker should be replaced: never once it has halted."""
        if self._pipeline.halted is not None:
            return
        stalled_s = self._pipeline.stalled_s()
        if stalled_s > self._stuck_s:
            raise StuckError(f"work in hand, no progress for {stalled_s:.0f} s")
        caught_up = self._caught_up_s() > self._looked_s
        self._looked_s = time.monotonic()
        if self._pipeline.preparing or (self._pipeline.inflight_messages and not caught_up):
            self._seen.clear()  # busy, and the pipeline's own clock watches it
            return
        await self._check_fetching()

    async def _check_fetching(self) -> None:
        now = time.monotonic()
        before, self._seen = self._seen, {}
        still: dict[TopicPartition, tuple[int, float]] = {}
        for key, offset in self._pipeline.next_offsets().items():
            self._seen[key] = (offset, now)
            if key in before and before[key][0] == offset:
                self._seen[key] = still[key] = before[key]
        try:
            ends = await self._history.end_offsets(still)
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("lag is unknown: %s", type(error).__name__)
            return
        for key, (offset, since_s) in still.items():
            if ends.get(key, 0) <= offset:
                self._seen[key] = (offset, now)
            elif now - since_s > self._stuck_s:
                await self._judge(key, offset, ends[key])

    async def _judge(self, key: TopicPartition, offset: int, end: int) -> None:
        """Of a stage that was away for longer than its topic keeps, nothing may be left to read."""
        try:
            async with asyncio.timeout(LOOK_S):
                if await self._history.holds_any(*key, offset, end):
                    raise StuckError(f"{key[0]}[{key[1]}] stands at {offset} of {end}")
        except TimeoutError:
            logger.warning("%s[%d] past %d: no answer", *key, offset)
        else:
            logger.warning("%s[%d]: nothing is left of [%d, %d)", *key, offset, end)
            self._pipeline.pass_over(*key, offset, end)
