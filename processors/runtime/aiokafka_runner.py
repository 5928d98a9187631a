"""A stage on plain aiokafka: the same pipeline without Faust.

The control in benchmarks, and the way out should Faust fail us. Same group, same order, same
commits: a stage may change runner between two restarts.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ingest.kafka import kafka_options
from processors.runtime.assignments import MAX_POLL_INTERVAL_S, Assignments
from processors.runtime.errors import FatalStageError
from processors.runtime.pipeline import Pipeline
from processors.runtime.reading import FETCH_BYTES, FETCH_WAIT_MS, POLL_MESSAGES, to_message
from schemas.config import Config
from schemas.protocols import Stage
from schemas.topics import GROUP_PREFIX

logger = logging.getLogger(__name__)

POLL_MS = 200


class AiokafkaRunner(ConsumerRebalanceListener):
    """Feeds a pipeline from a consumer; see :class:`processors.runtime.worker.Runner`."""

    def __init__(
        self,
        stage: Stage,
        pipeline: Pipeline,
        assignments: Assignments,
        config: Config,
        instance: str = "",
    ) -> None:
        self.ready = False
        self.caught_up_s = float("-inf")
        self.crashed: BaseException | None = None
        self._stage = stage
        self._pipeline = pipeline
        self._assignments = assignments
        self._commit_interval_s = config.runtime.commit_interval_s
        self._acked: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._generation = 0
        self._tasks: list[asyncio.Task[None]] = []
        session_ms = int(config.kafka.session_timeout_s * 1000)
        self._consumer = AIOKafkaConsumer(
            **kafka_options(config.kafka),
            group_id=GROUP_PREFIX + stage.name,
            group_instance_id=instance or None,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(1000, session_ms // 6),
            rebalance_timeout_ms=max(session_ms, int(config.runtime.drain_s * 3000)),
            max_poll_interval_ms=int(MAX_POLL_INTERVAL_S * 1000),
        )

    async def start(self) -> None:
        """Join the group and begin to read."""
        await self._consumer.start()
        self._consumer.subscribe(list(self._stage.topics), listener=self)
        self._tasks = [
            asyncio.create_task(self._guard(self._read())),
            asyncio.create_task(self._guard(self._commit_regularly())),
        ]

    async def stop(self) -> None:
        """Drain, commit, leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.on_partitions_revoked(self._consumer.assignment())
        await self._consumer.stop()

    def end_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the newest message, as the last fetch told; None if it is not known."""
        tp = TopicPartition(topic, partition)
        return self._consumer.highwater(tp) if tp in self._consumer.assignment() else None

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by the consumer when a rebalance has ended."""
        self._assignments.assigned((tp.topic, tp.partition) for tp in assigned)
        self.ready = True

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by the consumer when one begins: drain and commit while they are still ours."""
        revoked = list(revoked)
        self._generation += 1
        await self._assignments.revoked([(tp.topic, tp.partition) for tp in revoked])
        await self._commit()
        for tp in revoked:
            self._acked.pop(tp, None)
            self._committed.pop(tp, None)

    async def _read(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_MESSAGES)
            generation = self._generation
            if sum(map(len, fetched.values())) < POLL_MESSAGES:
                self.caught_up_s = time.monotonic()
            for tp, records in fetched.items():
                for record in records:
                    await self._assignments.prepared.wait()
                    if generation != self._generation:
                        break  # of an assignment that has ended; read again from the commit
                    await self._offer(tp, record)

    async def _offer(self, tp: TopicPartition, record: ConsumerRecord) -> None:
        def acknowledge() -> None:
            self._acked[tp] = record.offset + 1

        await self._pipeline.offer(to_message(record), acknowledge)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._commit_interval_s)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what was acknowledged since the last commit; a failed one is tried again later."""
        due = {tp: n for tp, n in self._acked.items() if self._committed.get(tp) != n}
        if not due:
            return
        started_s = time.monotonic()
        try:
            await self._consumer.commit(due)
        except (CommitFailedError, IllegalStateError) as error:
            logger.warning("commit refused, partitions have moved: %s", type(error).__name__)
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning(
                "commit: %s after %.1f s", type(error).__name__, time.monotonic() - started_s
            )
        else:
            self._committed |= due

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (asyncio.CancelledError, FatalStageError):
            raise
        except Exception as error:  # a background task's end must reach the worker
            self.crashed = error
            self._pipeline.fail(error)
