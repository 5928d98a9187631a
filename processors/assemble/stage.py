"""The ``assemble`` stage: joins a trace's fragments and emits the operations they make.

Why: spans and their logs arrive in any order and in different messages, and one call may show as
several spans. An operation is emitted only with its span in hand, and again, with a higher
revision, when its trace learns more. A message is done when every operation that its fragments
call for is acknowledged; a short grace may hold it while content or evidence is still to come.

On failure: a value without any readable fragment raises ``PoisonError``. After a crash unfinished
messages come again and what was done before them is recalled, so revisions agree with those of the
worker before. A fragment whose trace was forgotten makes a lower revision, which loses.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Sequence

from pydantic import Field

from processors.assemble.graces import Graces, Pending
from processors.assemble.memory import TraceMemory
from processors.assemble.trace import SpanEntry, TraceState, knowledge_of
from processors.batches import all_taken, read_batch, readable_records
from schemas.config import Config
from schemas.encoding import BatchError
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import (
    Clock,
    History,
    Message,
    Outputs,
    PoisonError,
    RetryableError,
    StageBase,
)
from schemas.records import Content, Fragment, Operation
from schemas.topics import FRAGMENTS, OPERATIONS

HISTORY_WINDOW_S = 120.0
RELIEF_S = 0.5
"""No grace begins this soon after relief was asked for: messages that the runner has started and
that have not come to run yet would otherwise hold it up once more."""
EVIDENCE_REEMISSIONS_MAX = 2
"""Times that a model call is emitted again for evidence alone: each makes ``evaluate`` judge it
anew, and a long agent trace would otherwise do so for every tool result."""
EMISSIONS_MAX = 32
"""Emissions of one operation after which other spans' fragments no longer cause one: a trace of
thousands of spans under one wrapper would otherwise be emitted whole for each of them."""
RETRIEVING_SERVICES_MAX = 10_000
SILENT_SERVICES_MAX = 10_000


class WellNamedFragment(Fragment):
    """A fragment that a revision can be computed from."""

    fragment_id: str = Field(pattern="^[0-9a-f]{16}$")


class AssembleStage(StageBase):
    """Fragments in, operations out, on the same partition number."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(
            name="assemble",
            topics=(FRAGMENTS.name,),
            history=History(topics=(FRAGMENTS.name,), window_s=HISTORY_WINDOW_S),
        )
        self._tenant = config.tenant
        self._config = config.assemble
        self._message_bytes = config.kafka.max_message_bytes
        self._outputs = outputs
        self._clock = clock
        self._memory = TraceMemory(self._config.trace_idle_s, self._config.evidence_bytes)
        self._graces = Graces(clock)
        self._retrieving: dict[tuple[str, str], None] = {}
        self._silent: dict[tuple[str, str], None] = {}
        """Services that let a wait for log records pass in vain: their calls wait no more, until
        one of their spans gets a log record after all."""
        self._relieved_until = float("-inf")
        self._pending: dict[Pending, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def recall(self, message: Message) -> None:
        """Learn what was known before the first message; nothing is emitted."""
        try:
            fragments, _ = readable_records(WellNamedFragment, message.value)
        except BatchError:
            return  # it was dead-lettered by whoever processed it
        now = self._clock.monotonic()
        for fragment in fragments:
            state, _ = self._memory.apply(message.partition, fragment, now)
            self._note_habits(state, fragment)
        self._memory.trim(now)

    async def process(self, message: Message) -> None:
        """Learn the message's fragments and emit every operation that they change."""
        fragments, letters = read_batch(
            WellNamedFragment, message, self.name, self._outputs, self._tenant
        )
        try:
            await all_taken([*letters, *self._learn(message.partition, fragments)])
        except asyncio.CancelledError:
            if self._stopped:  # an orderly end, which must not look like a failed worker
                raise RetryableError("the stage was stopped") from None
            raise

    def forget(self, topic: str, partition: int) -> None:
        """Drop the partition's traces; emissions in a grace are made at once, while they can be."""
        for state in self._memory.forget(partition):
            _release(state.pending.values())

    def relieve(self) -> None:
        """End all graces; operations say ``late_context`` until what was awaited comes."""
        self._relieved_until = self._clock.monotonic() + RELIEF_S
        _release(self._pending)

    async def stop(self) -> None:
        """Cancel what waits; its messages were not acknowledged and come again."""
        self._stopped = True
        self._graces.close()
        for task in self._tasks:
            task.cancel()

    def _learn(self, partition: int, fragments: Sequence[Fragment]) -> list[Awaitable[None]]:
        """All of it before the first ``await``, so in offset order; returns what to wait for."""
        now = self._clock.monotonic()
        self._evict(now)
        touched: dict[int, tuple[TraceState, dict[str, None]]] = {}
        for fragment in fragments:
            state, new = self._memory.apply(partition, fragment, now)
            STAGE_RECORDS.labels("assemble", "learned" if new else "known").inc()
            self._note_habits(state, fragment)
            touched.setdefault(id(state), (state, {}))[1][fragment.span_id] = None
        waits: list[Awaitable[None]] = []
        for state, span_ids in touched.values():
            waits += self._advance(state, span_ids, now)
        self._evict(now)
        return waits

    def _advance(
        self, state: TraceState, span_ids: Collection[str], now: float
    ) -> list[Awaitable[None]]:
        """Emit or defer whatever depends on these spans of the trace."""
        related: dict[str, None] = {}
        for span_id in span_ids:
            related.update(dict.fromkeys(sorted(state.related(span_id))))
        calls = [
            self._call_for(state, state.spans[span_id], now)
            for span_id in related
            if span_id in span_ids or state.spans[span_id].emissions < EMISSIONS_MAX
        ]
        sources = [state.spans[span_id] for span_id in span_ids if state.spans[span_id].evidence]
        if sources:
            earliest_ns = min(source.end_ns() for source in sources)
            calls += [
                self._call_for_evidence(state, entry, now)
                for entry in state.spans.values()
                if entry.answer_unsupported()
                and entry.span_id not in related
                and entry.end_ns() >= earliest_ns
            ]
        for span_id, pending in state.pending.items():
            if not pending.settles:
                self._shorten(pending, self._grace_until(state, state.spans[span_id]))
        return [call for call in calls if call is not None]

    def _call_for(self, state: TraceState, entry: SpanEntry, now: float) -> Awaitable[None] | None:
        """What a message waits for because it tells of this span; None if nothing."""
        if entry.pending is not None:
            return asyncio.shield(self._pending[entry.pending])
        operation = self._operation(state, entry)
        if operation is None or entry.confirmed == knowledge_of(operation):
            return None
        until = self._grace_until(state, entry)
        if entry.queued is None and until > now:
            return self._defer(state, entry, until, settles=False)
        return self._emit(state, entry, operation)

    def _call_for_evidence(
        self, state: TraceState, entry: SpanEntry, now: float
    ) -> Awaitable[None] | None:
        """Like :meth:`_call_for`, for a model call that others' documents bear on."""
        if entry.pending is not None:
            return asyncio.shield(self._pending[entry.pending])
        if entry.evidence_reemissions >= EVIDENCE_REEMISSIONS_MAX:
            return None
        operation = self._operation(state, entry)
        if (
            operation is None
            or operation.duplicate_of
            or entry.confirmed == knowledge_of(operation)
        ):
            return None
        entry.evidence_reemissions += 1
        until = now + self._config.evidence_grace_s
        return self._defer(state, entry, until, settles=True)

    def _grace_until(self, state: TraceState, entry: SpanEntry) -> float:
        """Monotonic seconds until which something awaited may still come; 0 if nothing is."""
        until = 0.0
        if entry.awaits_log() and self._service(state, entry) not in self._silent:
            until = entry.first_seen + self._config.log_grace_s
        repeats = state.repeats_a_child(entry)
        open_retrieval = (
            entry.answer_unsupported()
            and not repeats
            and self._retrieves(state, entry)
            and state.parent_unseen(entry)
            and not state.evidence_for(entry, self._config.trace_evidence_bytes)[0]
        )
        if open_retrieval or (entry.wraps() and not repeats):
            until = max(until, entry.first_seen + self._config.evidence_grace_s)
        return until

    def _note_habits(self, state: TraceState, fragment: Fragment) -> None:
        """Remember services whose traces bring evidence, or whose spans get log records: calls of
        others need not wait for any."""
        entry = state.spans[fragment.span_id]
        if entry.best is not None and entry.has_logs():
            self._silent.pop(self._service(state, entry), None)
        if fragment.call is not None and entry.evidence:
            self._retrieving[fragment.tenant, fragment.call.service_name] = None
            if len(self._retrieving) > RETRIEVING_SERVICES_MAX:
                del self._retrieving[next(iter(self._retrieving))]

    def _retrieves(self, state: TraceState, entry: SpanEntry) -> bool:
        return self._service(state, entry) in self._retrieving

    def _service(self, state: TraceState, entry: SpanEntry) -> tuple[str, str]:
        """Tenant and service of a span; the service is empty without the span in hand."""
        return state.key[1], entry.best[1].service_name if entry.best else ""

    def _note_silence(self, state: TraceState, entry: SpanEntry) -> None:
        self._silent[self._service(state, entry)] = None
        if len(self._silent) > SILENT_SERVICES_MAX:
            del self._silent[next(iter(self._silent))]

    def _defer(
        self, state: TraceState, entry: SpanEntry, until: float, settles: bool
    ) -> Awaitable[None]:
        ready = asyncio.get_running_loop().create_future()
        pending = Pending(ready, until, settles)
        if self._clock.monotonic() < self._relieved_until:
            _release([pending])
        entry.pending = state.pending[entry.span_id] = pending
        task = asyncio.create_task(self._emit_after(state, entry, pending))
        self._pending[pending] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._graces.wake_at(until, ready)
        return asyncio.shield(task)

    def _shorten(self, pending: Pending, until: float) -> None:
        if until <= self._clock.monotonic():
            pending.release()
        elif until < pending.deadline:
            pending.deadline = until
            self._graces.wake_at(until, pending.ready)

    async def _emit_after(self, state: TraceState, entry: SpanEntry, pending: Pending) -> None:
        await pending.ready
        entry.pending = None
        del state.pending[entry.span_id], self._pending[pending]
        if entry.awaits_log() and not entry.has_logs() and not pending.late:
            self._note_silence(state, entry)
        operation = self._operation(state, entry, pending.late)
        if operation is not None:
            await self._emit(state, entry, operation)

    def _emit(self, state: TraceState, entry: SpanEntry, operation: Operation) -> Awaitable[None]:
        """Queue the operation now; the result ends when it is acknowledged."""
        STAGE_RECORDS.labels("assemble", "emitted").inc()
        entry.emissions += 1
        entry.queued = knowledge_of(operation)
        taken = self._outputs.emit(OPERATIONS.name, state.key[0], operation)
        return self._confirm(state.key[0], entry, operation, taken)

    async def _confirm(
        self, partition: int, entry: SpanEntry, operation: Operation, taken: Awaitable[None]
    ) -> None:
        try:
            await taken
        except PoisonError:
            # Larger than a message: the call itself must count all the same.
            bare = _without_content(operation)
            await self._outputs.emit(OPERATIONS.name, partition, bare)
        entry.confirmed = knowledge_of(operation)

    def _operation(
        self, state: TraceState, entry: SpanEntry, late: bool = False
    ) -> Operation | None:
        # Half of a message, since JSON escapes make text longer.
        room_bytes = max(0, self._message_bytes // 2 - entry.bytes)
        return state.operation(entry, min(self._config.trace_evidence_bytes, room_bytes), late)

    def _evict(self, now: float) -> None:
        forgotten = self._memory.trim(now)
        STAGE_RECORDS.labels("assemble", "traces_forgotten").inc(forgotten)


def _release(pending: Iterable[Pending]) -> None:
    for one in pending:
        one.late = True
        one.release()


def _without_content(operation: Operation) -> Operation:
    """The operation as if its content had not been captured; its fragments' content is stored."""
    flags = (*operation.call.flags, "content_too_large")
    call = operation.call.model_copy(update={"flags": flags})
    return operation.model_copy(
        update={
            "call": call,
            "content": Content(),
            "findings": (),
            "evidence": (),
            "evidence_state": "evicted",
        }
    )
