"""How far each partition is stored: what the watermark of windows is made of.

For every partition of a topic whose spans windows count, ``genai_progress`` gets, a few seconds
after a change, the offset stored and two times (:mod:`processors.watch.windows.watermark` says
what follows from them):

- ``end_time``: when the newest spans inserted ended. Each service has a vote, the median of its
  own, at most :data:`SAMPLE_RECORDS` of at most :data:`SAMPLE_S`, and the median of the votes
  counts: our backlog is in all of them, but spans of last week that somebody sends or replays, and
  clocks that run ahead, are in few. No end counts later than Kafka's time of the message that told
  it, and none whose start is not trusted. Nor do a shadow's verdicts count: ``rescore`` makes those
  of spans long past.
- ``idle_until``: now, once nothing of the partition has been in hand for :data:`IDLE_S`; unset
  while something is, and while anything is in hand for that long: then ClickHouse does not keep up,
  and what the partition has may wait for room. It is told again and again, so that silence means
  that nobody owns the partition, not that it is complete.

After a restart nothing is known of ``end_time`` until a message comes.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low

from schemas.identity import EPOCH_DAY, NS_PER_MS
from schemas.protocols import Clock, Message
from schemas.records import Evaluation, Fragment, Operation, Record
from schemas.topics import EVALUATIONS, FRAGMENTS, OPERATIONS
from sql.tables import table
from sql.times import ticks

SAMPLE_RECORDS = 101
SAMPLE_S = 30
"""Longer, and where calls are few their median is old: alert rules wait for it."""
IDLE_S = 30.0
"""Longer than a rebalance takes to bring the first message of a backlog."""
TELL_S = 5.0

SERVICES_MAX = 32
"""Of a partition, the newest; what bounds the memory."""

Row = tuple[object, ...]
Ends = deque[tuple[int, int]]
"""(message's time in ms, end in ns) of the newest records of a service."""
TRACKED = (FRAGMENTS.name, OPERATIONS.name, EVALUATIONS.name)


@dataclass(slots=True)
class _Partition:
    in_hand: int
    quiet_since: float
    offset: int = -1
    services: OrderedDict[tuple[str, str], Ends] = field(default_factory=OrderedDict)
    """By tenant and service, the one with the newest record last."""
    told: tuple[int, int] | None = None

    def take(self, service: tuple[str, str], message_ms: int, end_ns: int) -> None:
        """Count a record's span."""
        ends = self.services.setdefault(service, deque(maxlen=SAMPLE_RECORDS))
        ends.append((message_ms, end_ns))
        self.services.move_to_end(service)
        if len(self.services) > SERVICES_MAX:
            self.services.popitem(last=False)

    def forget_before(self, since_ms: int) -> None:
        """Count no older message any more."""
        for service, ends in list(self.services.items()):
            while ends and ends[0][0] < since_ms:
                ends.popleft()
            if not ends:
                del self.services[service]

    def end_ns(self) -> int:
        """0 if not known."""
        votes = [median_low(end for _, end in ends) for ends in self.services.values()]
        return median_low(votes) if votes else 0


class Progress:
    """The partitions that this worker owns."""

    def __init__(self, incarnation: str, clock: Clock) -> None:
        self._incarnation = incarnation
        self._clock = clock
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._begun: dict[tuple[str, int, int], float] = {}
        """When each message in hand came, the oldest first."""
        self._pressed_until = -IDLE_S

    def adopt(self, topic: str, partition: int) -> None:
        """The partition is this worker's."""
        if topic in TRACKED:
            self._of(topic, partition)

    def forget(self, topic: str, partition: int) -> None:
        """Another worker tells of it now."""
        self._partitions.pop((topic, partition), None)

    def begin(self, message: Message) -> None:
        """The message is in hand."""
        if message.topic in TRACKED:
            self._of(message.topic, message.partition).in_hand += 1
            place = (message.topic, message.partition, message.offset)
            self._begun.setdefault(place, self._clock.monotonic())

    def end(self, message: Message) -> None:
        """It is not any more, whatever became of it."""
        self._note_pressure()
        self._begun.pop((message.topic, message.partition, message.offset), None)
        state = self._partitions.get((message.topic, message.partition))
        if state is not None:
            state.in_hand = max(0, state.in_hand - 1)
            state.quiet_since = self._clock.monotonic()

    def stored(self, message: Message, records: Iterable[Record]) -> None:
        """All rows of the message are inserted."""
        state = self._partitions.get((message.topic, message.partition))
        if state is None:
            return
        state.offset = max(state.offset, message.offset + 1)
        latest_ns = message.timestamp_ms * NS_PER_MS
        for record in records:
            if (ended := ended_span(record)) is not None:
                service, end_ns = ended
                state.take(service, message.timestamp_ms, min(end_ns, latest_ns))
        if state.services:
            newest_ms = max(ends[-1][0] for ends in state.services.values())
            state.forget_before(newest_ms - SAMPLE_S * 1000)

    def rows(self) -> list[Row]:
        """Rows of ``genai_progress`` to be inserted: what changed, and every idle partition."""
        now_ns = self._clock.time_ns()
        self._note_pressure()
        rows = []
        for (topic, partition), state in self._partitions.items():
            quiet_s = self._clock.monotonic() - max(state.quiet_since, self._pressed_until)
            idle = not state.in_hand and quiet_s >= IDLE_S
            telling = (state.end_ns(), state.offset)
            if idle or (state.offset >= 0 and telling != state.told):
                state.told = telling
                rows.append(self._row(topic, partition, state, now_ns, now_ns if idle else 0))
        return rows

    def _note_pressure(self) -> None:
        """What waits behind a message that takes long is seen once that is done."""
        now_s = self._clock.monotonic()
        if now_s - next(iter(self._begun.values()), now_s) >= IDLE_S:
            self._pressed_until = now_s

    def _row(self, topic: str, partition: int, state: _Partition, now_ns: int, idle_ns: int) -> Row:
        return table("genai_progress").row(
            {
                "stage": "store",
                "topic": topic,
                "incarnation": self._incarnation,
                "partition": partition,
                "revision": now_ns,
                "offset": state.offset,
                "end_time": ticks(state.end_ns()),
                "idle_until": ticks(idle_ns),
                "read_until": 0,
            }
        )

    def _of(self, topic: str, partition: int) -> _Partition:
        return self._partitions.setdefault(
            (topic, partition), _Partition(0, self._clock.monotonic())
        )


def ended_span(record: Record) -> tuple[tuple[str, str], int] | None:
    """Tenant and service, and the end of the span that a record tells of; None if it tells of none
    that says how far the line is."""
    if getattr(record, "day", EPOCH_DAY) == EPOCH_DAY:
        return None
    if isinstance(record, Evaluation):
        if record.source != "ours" or record.mode != "active":
            return None
        return (record.tenant, record.service_name), record.span_end_ns
    if isinstance(record, Fragment | Operation):
        call = record.call
        if call is None or (isinstance(record, Operation) and record.duplicate_of):
            return None
        return (record.tenant, call.service_name), call.end_ns
    return None
