"""The ``assemble`` stage: joins a trace's fragments and emits the operations they make.

Why: spans and their logs arrive in any order and in different messages, and one call may show as
several spans. An operation is emitted only with its span in hand, and again, with a higher
revision, when its trace learns more. A message is done when every operation that its fragments
call for is acknowledged; a short grace may hold it while content or evidence is still to come.

On failure: a value that is no batch of fragments raises ``PoisonError``. After a crash unfinished
messages come again and what was done before them is recalled, so revisions agree with those of the
worker before. A fragment whose trace was forgotten makes a lower revision, which loses.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from processors.assemble.graces import Graces, Pending
from processors.assemble.memory import TraceMemory
from processors.assemble.trace import SpanEntry, TraceState, knowledge_of
from schemas.config import Config
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, History, Message, Outputs, PoisonError, StageBase
from schemas.records import BatchError, Fragment, Operation, decode_batch
from schemas.topics import FRAGMENTS, OPERATIONS

HISTORY_WINDOW_S = 120.0
EVIDENCE_REEMISSIONS_MAX = 2
"""Times that a model call is emitted again for evidence alone: each makes ``evaluate`` judge it
anew, and a long agent trace would otherwise do so for every tool result."""
FRAGMENT_ID_CHARS = 16


class AssembleStage(StageBase):
    """Fragments in, operations out, on the same partition number."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(
            name="assemble",
            topics=(FRAGMENTS.name,),
            history=History(topics=(FRAGMENTS.name,), window_s=HISTORY_WINDOW_S),
        )
        self._config = config.assemble
        self._message_bytes = config.kafka.max_message_bytes
        self._outputs = outputs
        self._clock = clock
        self._memory = TraceMemory(self._config.trace_idle_s, self._config.evidence_bytes)
        self._graces = Graces(clock)
        self._pending: set[Pending] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def recall(self, message: Message) -> None:
        """Learn what was known before the first message; nothing is emitted."""
        try:
            fragments = _fragments(message)
        except PoisonError:
            return  # it was dead-lettered by whoever processed it
        now = self._clock.monotonic()
        for fragment in fragments:
            self._memory.apply(message.partition, fragment, now)
        self._memory.trim(now)

    async def process(self, message: Message) -> None:
        """Learn the message's fragments and emit every operation that they change."""
        await asyncio.gather(*self._learn(message.partition, _fragments(message)))

    def forget(self, topic: str, partition: int) -> None:
        """Drop the partition's traces; emissions in a grace are made at once, while they can be."""
        for state in self._memory.forget(partition):
            _release(state.pending.values())

    def relieve(self) -> None:
        """End all graces; operations say ``late_context`` until what was awaited comes."""
        _release(self._pending)

    async def stop(self) -> None:
        """Cancel what waits; its messages were not acknowledged and come again."""
        self._graces.close()
        for task in self._tasks:
            task.cancel()

    def _learn(self, partition: int, fragments: list[Fragment]) -> list[Awaitable[None]]:
        """All of it before the first ``await``, so in offset order; returns what to wait for."""
        now = self._clock.monotonic()
        self._evict(now)
        touched: dict[int, tuple[TraceState, dict[str, None]]] = {}
        for fragment in fragments:
            state, new = self._memory.apply(partition, fragment, now)
            STAGE_RECORDS.labels("assemble", "learned" if new else "known").inc()
            touched.setdefault(id(state), (state, {}))[1][fragment.span_id] = None
        waits: list[Awaitable[None]] = []
        for state, span_ids in touched.values():
            waits += self._advance(state, span_ids, now)
        self._evict(now)
        return waits

    def _advance(
        self, state: TraceState, span_ids: Iterable[str], now: float
    ) -> list[Awaitable[None]]:
        """Emit or defer whatever depends on these spans of the trace."""
        related: dict[str, None] = {}
        for span_id in span_ids:
            related.update(dict.fromkeys(sorted(state.related(span_id))))
        calls = [self._call_for(state, state.spans[span_id], now) for span_id in related]
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
                self._shorten(pending, self._grace_until(state, state.spans[span_id]), now)
        return [call for call in calls if call is not None]

    def _call_for(self, state: TraceState, entry: SpanEntry, now: float) -> Awaitable[None] | None:
        """What a message waits for because it tells of this span; None if nothing."""
        if entry.pending is not None:
            return asyncio.shield(self._task_of(entry.pending))
        operation = self._operation(state, entry)
        if operation is None or entry.confirmed == knowledge_of(operation):
            return None
        until = self._grace_until(state, entry)
        if entry.queued is None and until > now:
            return self._defer(state, entry, Pending(_future(), until, settles=False))
        return self._emit(state, entry, operation)

    def _call_for_evidence(
        self, state: TraceState, entry: SpanEntry, now: float
    ) -> Awaitable[None] | None:
        """Like :meth:`_call_for`, for a model call that others' documents bear on."""
        if entry.pending is not None:
            return asyncio.shield(self._task_of(entry.pending))
        operation = self._operation(state, entry)
        if (
            operation is None
            or operation.duplicate_of
            or entry.confirmed == knowledge_of(operation)
            or entry.evidence_reemissions >= EVIDENCE_REEMISSIONS_MAX
        ):
            return None
        entry.evidence_reemissions += 1
        until = now + self._config.evidence_grace_s
        return self._defer(state, entry, Pending(_future(), until, settles=True))
