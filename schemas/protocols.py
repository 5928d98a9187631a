"""The protocols stages are written against.

A *runner* (Faust in production, plain aiokafka as control, in-memory in the conformance suite)
reads messages and hands each to a :class:`Stage`; the stage's coroutine ends when everything the
message calls for is durably taken; the runner then acks strictly in offset order per partition.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from schemas.records import Record
from schemas.topics import ATTEMPTS_HEADER, TIMESTAMP_HEADER

_TIMESTAMP_MAX_DIGITS = 15
_ATTEMPTS_MAX_DIGITS = 9


class RetryableError(Exception):
    """A transient fault (broker away, database away). The runner retries for ever with backoff."""


class PoisonError(Exception):
    """This message can never be processed. The runner dead-letters it and goes on.

    ``reason`` is a short slug for the dead letter's header and metric; the text never holds
    content. ``tenant`` is known where the message could be read and all of it is one tenant's.
    """

    def __init__(self, reason: str, detail: str = "", *, tenant: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.tenant = tenant


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message. ``timestamp_ms`` is Kafka's (kept through a replay by a header)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> str | None:
        """Value of the last header of that name, decoded leniently, or None."""
        for key, value in reversed(self.headers):
            if key == name:
                return value.decode("utf-8", "replace")
        return None

    def first_timestamp_ms(self) -> int:
        """Kafka's timestamp of the first delivery: a replay keeps it in a header.

        The open topics' senders may set that header too: what is no time there is ignored.
        """
        kept = self._number(TIMESTAMP_HEADER, _TIMESTAMP_MAX_DIGITS)
        return self.timestamp_ms if kept is None else kept

    def earlier_attempts(self) -> int:
        """How often it was tried before it was replayed; 0 if it was not."""
        return self._number(ATTEMPTS_HEADER, _ATTEMPTS_MAX_DIGITS) or 0

    def _number(self, name: str, max_digits: int) -> int | None:
        text = self.header(name) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= max_digits else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Original bytes that could not be processed, with their reason and origin.

    ``items`` is how many spans or records these bytes held, for the ledger.
    """

    origin: Message
    stage: str
    reason: str
    error_class: str
    value: bytes
    tenant: str
    trace_id: str = ""
    span_id: str = ""
    attempts: int = 1
    items: int = 1


class Outputs(Protocol):
    """Where a stage sends what it makes. Each call ends when the broker has acknowledged.

    Transient faults are retried inside, for ever; calls may run concurrently, and records of one
    partition keep the order in which the calls were started.
    """

    def emit(self, topic: str, partition: int, record: Record) -> Awaitable[None]:
        """Queue one record into its partition's batch; awaits the batch's acknowledgement.

        Not ``async``: the record is encoded and queued before this returns, so callers keep order
        by calling it in order and may gather the awaitables.
        """
        ...

    def dead_letter(self, letter: DeadLetter) -> Awaitable[None]:
        """Write one dead letter; awaits its acknowledgement."""
        ...


class TableSink(Protocol):
    """Rows into ClickHouse."""

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> Awaitable[None]:
        """Queue rows (in :data:`sql` column order) into the table's next insert; awaits it.

        Transient faults are retried inside, for ever. Raises :class:`PoisonError` if these rows
        alone are refused for their content.
        """
        ...


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def time_ns(self) -> int:
        """Wall clock, ns since 1970 (for stamps)."""
        ...

    def monotonic(self) -> float:
        """Seconds (for graces and deadlines)."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class History:
    """What a stage re-reads before the first message of a newly assigned partition.

    ``topics`` are read on that same partition number, without a group, from ``window_s`` before
    the last message that precedes the first new one, at most ``max_bytes`` (newest kept); for the
    message's own topic up to that message, for other topics up to their end. ``owners`` are the
    topics whose assignment brings the history (all of the stage's when empty).
    """

    topics: tuple[str, ...] = ()
    window_s: float = 0.0
    max_bytes: int = 64 << 20
    owners: tuple[str, ...] = ()


class Stage(Protocol):
    """One step of the line. Implementations hold no offsets and commit nothing.

    ``process`` is started once per message, in offset order per partition, and the code before
    its first ``await`` runs in that order; after that, many run concurrently. It returns when
    every output is durably taken; may raise :class:`RetryableError` (called again with the same
    message: it must be idempotent) or :class:`PoisonError`; anything else stops the worker. It
    returns ``"dead"`` if it raised no ``PoisonError`` and all the same nothing came of the message
    but deaths of its parts, so that too many of these are noticed too.
    """

    @property
    def name(self) -> str:
        """Stage name; its consumer group is ``streamgauge.<name>``."""
        ...

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics consumed."""
        ...

    @property
    def history(self) -> History:
        """What to re-read on assignment; empty for stateless stages."""
        ...

    async def start(self) -> None:
        """Called once before any message: load models, open connections, start timers."""
        ...

    def recall(self, message: Message) -> None:
        """Rebuild state from one message of the history; must have no outputs and not raise."""
        ...

    def adopt(self, topic: str, partition: int) -> None:
        """The partition is this worker's and its history was recalled; timers may start."""
        ...

    async def process(self, message: Message) -> Literal["dead"] | None:
        """Handle one message; see the class."""
        ...

    def forget(self, topic: str, partition: int) -> None:
        """The partition was revoked: drop its state. In-flight ``process`` calls may still end."""
        ...

    def relieve(self) -> None:
        """The worker's in-flight budget is spent: end graces now, so that messages complete.

        Called each time a message has to wait for room; must not block nor raise.
        """
        ...

    async def stop(self) -> None:
        """Release resources. Correctness never relies on this being called."""
        ...


@dataclass(slots=True)
class StageBase:
    """Defaults for stages that keep no state."""

    name: str
    topics: tuple[str, ...]
    history: History = field(default_factory=History)

    async def start(self) -> None:
        """Nothing to prepare."""

    def recall(self, message: Message) -> None:
        """No state to rebuild."""

    def adopt(self, topic: str, partition: int) -> None:
        """No timers of a partition's own."""

    def forget(self, topic: str, partition: int) -> None:
        """No state to drop."""

    def relieve(self) -> None:
        """No graces to end."""

    async def stop(self) -> None:
        """Nothing to release."""
