"""The core that every runner feeds: bounded, ordered, at-least-once processing of one stage.

A message is offered, waits for room (back-pressure), is processed as a task started in offset
order, and is acknowledged **strictly in offset order per partition** once everything it calls for
is durably taken. Errors: retryable ones are tried again for ever; a poisonous message is
dead-lettered, then acknowledged; anything else is fail-stop: nothing is acknowledged any more and
the worker exits, so that a restart begins at the last commit. Too many dead letters are a halt:
nothing is acknowledged any more either, but the worker stays and keeps its partitions, since the
next one would only dead-letter on.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ingest import telemetry
from processors.runtime.dead_letter_limits import DeadLetterLimitError
from processors.runtime.errors import FatalStageError, SkippedMessageError
from processors.runtime.failpoints import failpoint
from processors.runtime.life import last_life_s
from processors.runtime.processing import Outcome, Processing
from processors.runtime.recall import RecallReader
from schemas import metrics
from schemas.config import Config
from schemas.protocols import Clock, Message, Outputs, Stage

logger = logging.getLogger(__name__)

MESSAGE_OVERHEAD_BYTES = 1024
"""Counted on top of a message's bytes, so that many tiny messages are bounded too."""

Ack = Callable[[], None]
TopicPartition = tuple[str, int]


@dataclass(slots=True, eq=False)
class _InFlight:
    """One message between offer and acknowledgement."""

    message: Message
    ack: Ack
    size_bytes: int
    started_s: float
    done: bool = False


@dataclass(slots=True, eq=False)
class _Assignment:
    """One assignment of one partition; a later assignment of it is another object, so that an
    acknowledgement can never outlive the assignment it belongs to."""

    waiting: deque[_InFlight] = field(default_factory=deque)
    next_offset: int | None = None
    revoked: bool = False


class Pipeline:
    """Runs one stage over the messages a runner offers. One event loop, one worker."""

    def __init__(
        self,
        stage: Stage,
        outputs: Outputs,
        config: Config,
        clock: Clock,
        recall: RecallReader | None = None,
    ) -> None:
        self._stage = stage
        self._processing = Processing(stage, outputs, config, clock)
        self._config = config
        self._clock = clock
        self._recall = recall
        self._assignments: dict[TopicPartition, _Assignment] = {}
        self._revocations: Counter[TopicPartition] = Counter()
        self._recalled: set[TopicPartition] = set()
        self._offering = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._inflight_messages = 0
        self._inflight_bytes = 0
        self._progress_s = clock.monotonic()
        self.preparing = False
        """Whether offers wait for assigned partitions to be prepared; set by who prepares them."""
        self.failed = asyncio.Event()
        """Set when the stage has failed for good; :attr:`fatal` says why."""
        self.fatal: BaseException | None = None
        self.halted: DeadLetterLimitError | None = None
        """Too many dead letters, if so: a person must look, and then restart the worker."""
        metrics.STAGE_HALTED.labels(stage.name).set(0)

    # --- runner's side ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the stage; called before the first offer."""
        await self._stage.start()
        self._note_progress()

    async def assigned(self, topic: str, partition: int, position: int) -> None:
        """Recall the partition's history now rather than at its first message.

        ``position`` is the next offset to be read. A stage with timers (open alerts) needs its
        memory even if no message comes.
        """
        async with self._offering:
            if self.halted is not None:
                return
            anchor_ms = self._clock.time_ns() // 1_000_000
            assignment = await self._assignment((topic, partition), position, anchor_ms)
            if assignment.next_offset is None:
                assignment.next_offset = position

    async def offer(self, message: Message, ack: Ack) -> None:
        """Take one message, waiting until there is room. Offers of one partition are in order.

        ``ack`` is called on this event loop, in offset order, once the message is done; never
        after its partition was revoked. A message offered again within one assignment is ignored,
        and so is one whose partition is revoked while it waits. Raises :class:`FatalStageError`
        once the stage failed; does not return once it has halted, so that nothing more is read.
        """
        revocations = self._revocations[message.topic, message.partition]
        async with self._offering:
            await self._take(message, ack, revocations)
        if self.halted is not None:
            await asyncio.Event().wait()

    async def _take(self, message: Message, ack: Ack, revocations: int) -> None:
        key = (message.topic, message.partition)
        self._raise_if_failed()
        if self.halted is not None or self._revocations[key] != revocations:
            return
        self._note_progress()
        assignment = await self._assignment(key, message.offset, message.timestamp_ms)
        if not await self._in_sequence(assignment, message):
            return
        size = MESSAGE_OVERHEAD_BYTES + len(message.value or b"") + len(message.key or b"")
        await self._wait_for_room(size)
        if self.halted is not None or assignment.revoked:
            return
        assignment.next_offset = message.offset + 1
        entry = _InFlight(message, ack, size, self._clock.monotonic())
        assignment.waiting.append(entry)
        self._hold(entry)
        task = asyncio.get_running_loop().create_task(self._run(assignment, entry))
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    async def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Drain the partitions for at most ``drain_s``, then drop their acks and state.

        Work still in flight may end later; it is neither retried nor acknowledged.
        """
        partitions = list(partitions)
        for key in partitions:
            self._revocations[key] += 1
        revoked = [key for key in partitions if key in self._assignments]
        await self._drain(revoked)
        for key in revoked:
            assignment = self._assignments.pop(key)
            assignment.revoked = True
            for entry in assignment.waiting:
                if entry.done:
                    self._release(entry)
            assignment.waiting.clear()
            self._stage.forget(*key)
        numbers = {partition for _, partition in self._assignments}
        self._recalled = {key for key in self._recalled if key[1] in numbers}
        self._changed.set()

    async def stop(self) -> None:
        """Drain everything for at most ``drain_s`` and stop the stage."""
        await self._drain(list(self._assignments))
        await self._stage.stop()

    def stalled_s(self) -> float:
        """Seconds without a sign of life while messages are in flight, or partitions are being
        prepared; 0 when idle or halted.

        Offers, completions, acknowledgements, retries and what a stage itself reports of a
        message's work (``note_life``) are signs of life. A grace is shorter than any sensible
        limit: one message in flight that waits for it is not stuck.
        """
        if self.halted is not None or not (self._inflight_messages or self.preparing):
            return 0.0
        return self._clock.monotonic() - max(self._progress_s, last_life_s())

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Next offset expected in each assigned partition that is known yet."""
        return {
            key: assignment.next_offset
            for key, assignment in self._assignments.items()
            if assignment.next_offset is not None
        }

    def pass_over(self, topic: str, partition: int, expected: int, offset: int) -> None:
        """Expect ``offset`` next where nothing lies between: retention took what was there."""
        assignment = self._assignments.get((topic, partition))
        if assignment is not None and assignment.next_offset == expected:
            assignment.next_offset = offset

    @property
    def inflight_messages(self) -> int:
        """Messages offered and not yet acknowledged."""
        return self._inflight_messages

    @property
    def inflight_bytes(self) -> int:
        """Their bytes, with :data:`MESSAGE_OVERHEAD_BYTES` each."""
        return self._inflight_bytes

    # --- assignment and history ------------------------------------------------------------------

    async def _assignment(self, key: TopicPartition, before: int, anchor_ms: int) -> _Assignment:
        """The partition's assignment; a new one recalls its history first."""
        known = self._assignments.get(key)
        if known is not None:
            return known
        assignment = self._assignments[key] = _Assignment()
        await self._recall_history(assignment, key, before, anchor_ms)
        if not assignment.revoked:
            self._stage.adopt(*key)
        return assignment

    async def _recall_history(
        self, assignment: _Assignment, key: TopicPartition, before: int, anchor_ms: int
    ) -> None:
        topic, partition = key
        history = self._stage.history
        if self._recall is None or (history.owners and topic not in history.owners):
            return
        for other in history.topics:
            if other == topic:
                await self._remember(assignment, other, partition, before, anchor_ms)
            elif other not in self._stage.topics and (other, partition) not in self._recalled:
                self._recalled.add((other, partition))
                await self._remember(assignment, other, partition, None, anchor_ms)

    async def _in_sequence(self, assignment: _Assignment, message: Message) -> bool:
        """Whether the message comes next; False if it was offered before in this assignment.

        Offsets may skip (transaction markers, compaction), but a client library that drops a
        fetched message looks the same: a gap is read again, and a message in it is fatal, so that
        the worker starts over from its commit.
        """
        expected = assignment.next_offset
        if expected is None or message.offset == expected or assignment.revoked:
            return True
        if message.offset < expected:
            return False
        if self._recall is not None and await self._recall.holds_any(
            message.topic, message.partition, expected, message.offset
        ):
            self.fail(SkippedMessageError(f"{message.topic}[{message.partition}] from {expected}"))
            self._raise_if_failed()
        return True

    async def _remember(
        self,
        assignment: _Assignment,
        topic: str,
        partition: int,
        before: int | None,
        anchor_ms: int,
    ) -> None:
        if self._recall is None:
            return
        messages = self._recall.read(topic, partition, before, anchor_ms, self._stage.history)
        async for message in messages:
            if assignment.revoked:
                return
            self._stage.recall(message)
            self._note_progress()

    # --- room ------------------------------------------------------------------------------------

    async def _wait_for_room(self, size: int) -> None:
        runtime = self._config.runtime
        while (
            self.halted is None
            and self._inflight_messages
            and (
                self._inflight_messages >= runtime.inflight_messages
                or self._inflight_bytes + size > runtime.inflight_bytes
            )
        ):
            self._raise_if_failed()
            self._stage.relieve()
            self._changed.clear()
            await self._changed.wait()
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self.fatal is not None:
            raise FatalStageError(f"stage {self._stage.name} has failed") from self.fatal

    def _hold(self, entry: _InFlight) -> None:
        self._inflight_messages += 1
        self._inflight_bytes += entry.size_bytes
        self._publish_inflight()

    def _release(self, entry: _InFlight) -> None:
        self._inflight_messages -= 1
        self._inflight_bytes -= entry.size_bytes
        self._publish_inflight()
        self._changed.set()

    def _publish_inflight(self) -> None:
        metrics.STAGE_INFLIGHT_BYTES.labels(self._stage.name).set(self._inflight_bytes)

    async def _drain(self, keys: list[TopicPartition]) -> None:
        """Wait until nothing of ``keys`` is in flight, at most ``drain_s``."""
        limit = asyncio.ensure_future(self._clock.sleep(self._config.runtime.drain_s))
        try:
            while not self._ended and any(
                self._assignments[key].waiting for key in keys if key in self._assignments
            ):
                if limit.done():
                    logger.warning("drain of %s ended with work in flight", self._stage.name)
                    return
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait((changed, limit), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            limit.cancel()

    # --- one message -----------------------------------------------------------------------------

    async def _run(self, assignment: _Assignment, entry: _InFlight) -> None:
        """Process one message to its end and acknowledge what is ready."""
        try:
            with telemetry.message_span(self._stage.name, entry.message) as span:
                outcome = await self._processing.complete(
                    entry.message, lambda: assignment.revoked or self._ended
                )
                span.set(telemetry.OUTCOME, outcome or "revoked")
            entry.done = True
            self._note_progress()
            if outcome is not None:
                self._count(entry, outcome)
            if assignment.revoked:
                self._release(entry)
            else:
                self._acknowledge(assignment)
        except DeadLetterLimitError as error:
            self._halt(error)
        except Exception as error:  # the boundary at which a worker fails and stops
            if self.halted is None:
                self.fail(error)

    def _count(self, entry: _InFlight, outcome: Outcome) -> None:
        name = self._stage.name
        metrics.STAGE_MESSAGES.labels(name, outcome).inc()
        metrics.STAGE_LATENCY.labels(name).observe(self._clock.monotonic() - entry.started_s)

    def _acknowledge(self, assignment: _Assignment) -> None:
        """Ack every finished message that no unfinished one precedes."""
        waiting = assignment.waiting
        while waiting and waiting[0].done and not self._ended:
            entry = waiting.popleft()
            self._release(entry)
            entry.ack()
            failpoint("acked")
            metrics.STAGE_LAST_ACK.labels(self._stage.name).set(self._clock.time_ns() / 1e9)
            self._note_progress()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._ended:
            self.fail(FatalStageError("a message's task was cancelled from outside"))

    @property
    def _ended(self) -> bool:
        return self.halted is not None or self.fatal is not None

    def _halt(self, reason: DeadLetterLimitError) -> None:
        """Acknowledge, dead-letter and take nothing more, and say so once."""
        if self._ended:
            return
        logger.critical(
            "stage %s halts: %s. It takes nothing more until it is restarted: see "
            "docs/runbooks/DeadLetters.md", self._stage.name, reason,
        )  # fmt: skip
        metrics.STAGE_HALTED.labels(self._stage.name).set(1)
        self.halted = reason
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """Fail-stop: keep the first error, ack nothing more, wake whoever waits."""
        if self.fatal is None:
            logger.critical("stage %s failed", self._stage.name, exc_info=error)
            self.fatal = error
        self.failed.set()
        self._changed.set()

    def _note_progress(self) -> None:
        self._progress_s = self._clock.monotonic()
