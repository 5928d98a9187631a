"""What a runner does when partitions come and go: tells the pipeline where each one begins.

The group's committed offset is read beside the consumer and recalled up to, so that a stage has
its memory even if no message comes, and so that a first message past the commit is noticed.
"""

import asyncio
import logging
from collections.abc import Iterable

from aiokafka.errors import KafkaError

from processors.runtime.backoff import Backoff
from processors.runtime.history import KafkaHistory
from processors.runtime.life import note_life
from processors.runtime.pipeline import Pipeline, TopicPartition
from schemas.protocols import Clock

logger = logging.getLogger(__name__)

MAX_POLL_INTERVAL_S = 20 * 86_400.0
"""Longer than anything: neither back-pressure while a store is away nor a halt may cost the
membership, which would hand the partitions to a sibling. The watchdog ends who is stuck."""


class Assignments:
    """Prepares newly assigned partitions in the background; offers wait for it."""

    def __init__(self, pipeline: Pipeline, history: KafkaHistory, clock: Clock, group: str) -> None:
        self._pipeline = pipeline
        self._history = history
        self._clock = clock
        self._group = group
        self._preparing: asyncio.Task[None] | None = None
        self.prepared = asyncio.Event()
        """Set while every assigned partition is known to the pipeline; offers wait for it."""

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin preparing; returns at once, since a rebalance must not wait for us."""
        self._cancel()
        self._pipeline.preparing = True
        note_life(self._clock.monotonic())
        self._preparing = asyncio.ensure_future(self._prepare(sorted(partitions)))

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Drain and forget, for at most the drain time."""
        self._cancel()
        await self._pipeline.revoke(partitions)

    def _cancel(self) -> None:
        self.prepared.clear()
        self._pipeline.preparing = False
        if self._preparing is not None:
            self._preparing.cancel()

    async def _prepare(self, partitions: list[TopicPartition]) -> None:
        try:
            positions = await self._positions(partitions)
            for topic, partition in partitions:
                await self._pipeline.assigned(topic, partition, positions[topic, partition])
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a background task's end must reach the worker
            self._pipeline.fail(error)
        else:
            self._pipeline.preparing = False
            self.prepared.set()

    async def _positions(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        backoff = Backoff(self._clock)
        while True:
            try:
                return await self._history.committed(self._group, partitions)
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("committed offsets: %s; trying again", type(error).__name__)
                note_life(self._clock.monotonic())
                await backoff.wait()
