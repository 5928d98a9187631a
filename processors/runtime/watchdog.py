"""Ends a worker that has work and does nothing, so that its supervisor starts a fresh one.

Consumers have died silently (fetchers that stop after a rebalance, lost recoveries). Two signs:
messages in flight without a sign of life (an offer, completion, acknowledgement or retry, a batch
that was scored) for ``stuck_s``; or the broker holding messages past our position, and the position
not moving for ``stuck_s``.
"""

import logging
import time

from aiokafka.errors import KafkaError

from processors.runtime.history import KafkaHistory
from processors.runtime.pipeline import Pipeline, TopicPartition

logger = logging.getLogger(__name__)


class StuckError(Exception):
    """The worker has work and makes no progress."""


class Watchdog:
    """Judges one worker each time :meth:`check` is called."""

    def __init__(self, pipeline: Pipeline, history: KafkaHistory, stuck_s: float) -> None:
        self._pipeline = pipeline
        self._history = history
        self._stuck_s = stuck_s
        self._seen: dict[TopicPartition, tuple[int, float]] = {}

    async def check(self) -> None:
        """Raises :class:`StuckError` if the worker should be replaced."""
        stalled_s = self._pipeline.stalled_s()
        if stalled_s > self._stuck_s:
            raise StuckError(f"messages in flight, no progress for {stalled_s:.0f} s")
        if self._pipeline.inflight_messages:
            self._seen.clear()  # busy, and the pipeline's own clock watches it
            return
        await self._check_fetching()

    async def _check_fetching(self) -> None:
        positions = self._pipeline.next_offsets()
        now = time.monotonic()
        self._seen = {
            key: self._seen[key]
            if key in self._seen and self._seen[key][0] == offset
            else (offset, now)
            for key, offset in positions.items()
        }
        try:
            ends = await self._history.end_offsets(positions)
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("lag is unknown: %s", type(error).__name__)
            return
        for key, (offset, since_s) in self._seen.items():
            if ends.get(key, 0) <= offset:
                self._seen[key] = (offset, now)
            elif now - since_s > self._stuck_s:
                raise StuckError(f"{key[0]}[{key[1]}] stands at {offset} of {ends[key]}")
