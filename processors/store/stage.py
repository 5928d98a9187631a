"""The ``store`` stage: every record of the ``genai.*`` topics becomes rows of its table.

The only writer of its tables; stateless but for how far its partitions are, which it tells every
few seconds (``progress.py``). A record that cannot be read, or whose row ClickHouse refuses,
becomes a dead letter of its own; if that is so of all of them, the message is poison (so that a
fault of ours is seen as such). Dead letters are different: their bytes are never read, only
measured and pointed at, and they are never poison, or each would breed the next.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from processors.batches import all_taken, bury, read_batch, refused_alone
from processors.runtime.errors import FatalStageError
from processors.store.policy import StorePolicies
from processors.store.progress import TELL_S, Progress
from processors.store.rows import (
    Row,
    alert_row,
    content_row,
    dead_letter_row,
    delivery_row,
    embedding_row,
    evaluation_row,
    joined_content_row,
    ledger_row,
    operation_row,
)
from schemas.alert_records import AlertDelivery, AlertTransition
from schemas.config import Config
from schemas.encoding import encode_batch
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, DeadLetter, Message, Outputs, PoisonError, StageBase, TableSink
from schemas.records import (
    Embedding,
    Evaluation,
    Fragment,
    LedgerRow,
    Operation,
    Record,
    encode_record,
)
from schemas.topics import (
    ALERT_DELIVERIES,
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
    EMBEDDINGS,
    EVALUATIONS,
    FRAGMENTS,
    LEDGER,
    OPERATIONS,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Destination:
    """A topic's records, and the tables with the row that each makes of one (None: none)."""

    kind: type[Record]
    tables: Mapping[str, Callable[[Any, StorePolicies], Row | None]]


def _content_row(fragment: Fragment, policies: StorePolicies) -> Row | None:
    stored = policies.stored(fragment)
    return None if stored is None else content_row(stored)


def _joined_content_row(operation: Operation, policies: StorePolicies) -> Row | None:
    stored = policies.stored(operation)
    return None if stored is None else joined_content_row(stored)


def _operation_row(operation: Operation, policies: StorePolicies) -> Row:
    return operation_row(policies.told(operation))


def _embedding_row(embedding: Embedding, policies: StorePolicies) -> Row | None:
    """None where the tenant's texts are not stored: what was made of them is not either."""
    return embedding_row(embedding) if policies.keeps_content(embedding.tenant) else None


_DESTINATIONS = {
    FRAGMENTS.name: _Destination(Fragment, {"genai_content": _content_row}),
    OPERATIONS.name: _Destination(
        Operation, {"genai_operations": _operation_row, "genai_content": _joined_content_row}
    ),
    EVALUATIONS.name: _Destination(
        Evaluation, {"genai_evaluations": lambda row, _: evaluation_row(row)}
    ),
    EMBEDDINGS.name: _Destination(Embedding, {"genai_embeddings": _embedding_row}),
    LEDGER.name: _Destination(LedgerRow, {"genai_ledger": lambda row, _: ledger_row(row)}),
    ALERT_TRANSITIONS.name: _Destination(
        AlertTransition, {"genai_alert_events": lambda row, _: alert_row(row)}
    ),
    ALERT_DELIVERIES.name: _Destination(
        AlertDelivery, {"genai_alert_deliveries": lambda row, _: delivery_row(row)}
    ),
}


class StoreStage(StageBase):
    """See the module."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock, sink: TableSink) -> None:
        super().__init__("store", (*_DESTINATIONS, DEAD_LETTERS.name))
        self._tenant = config.tenant
        self._outputs = outputs
        self._sink = sink
        self._policies = StorePolicies(config.privacy)
        self._clock = clock
        self._progress = Progress(config.kafka.incarnation, clock)
        self._teller: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to tell how far the partitions are."""
        self._teller = asyncio.create_task(self._tell())

    def adopt(self, topic: str, partition: int) -> None:
        """The partition's progress is this worker's to tell."""
        self._progress.adopt(topic, partition)

    def forget(self, topic: str, partition: int) -> None:
        """Another worker tells of it now."""
        self._progress.forget(topic, partition)

    async def stop(self) -> None:
        """Tell nothing more."""
        if self._teller is not None:
            self._teller.cancel()
            self._teller = None

    async def process(self, message: Message) -> Literal["dead"] | None:
        """Store one message. Raises :class:`PoisonError`, never for a dead letter, and
        :class:`FatalStageError` if how far the partitions are cannot be told any more."""
        if self._teller is not None and self._teller.done():
            # Not as it is: a refused row of progress would make poison of every message.
            raise FatalStageError("progress cannot be told") from self._teller.exception()
        self._progress.begin(message)
        try:
            return await self._store(message)
        finally:
            self._progress.end(message)

    async def _tell(self) -> None:
        while True:
            await self._clock.sleep(TELL_S)
            if rows := self._progress.rows():
                await self._sink.insert("genai_progress", rows)

    async def _store(self, message: Message) -> Literal["dead"] | None:
        if message.topic == DEAD_LETTERS.name:
            await self._store_letter(message)
            return None
        destination = _DESTINATIONS[message.topic]
        records, letters = read_batch(
            destination.kind, message, self.name, self._outputs, self._tenant
        )
        await all_taken(letters)
        refused, stored = await self._into_tables(destination, records)
        tenants = {getattr(record, "tenant", self._tenant) for record in refused}
        if refused and len(refused) == len(records) and len(tenants) == 1:
            raise PoisonError("rows_refused", message.topic, tenant=tenants.pop())
        await all_taken(bury(self._outputs, self._refusal(message, record)) for record in refused)
        self._progress.stored(message, records)
        STAGE_RECORDS.labels(self.name, "stored").inc(stored - len(refused))
        STAGE_RECORDS.labels(self.name, "dead").inc(len(letters) + len(refused))
        return "dead" if refused and len(refused) == stored else None

    async def _into_tables(
        self, destination: _Destination, records: Sequence[Record]
    ) -> tuple[list[Record], int]:
        """The records that a table refused, and how many had a row at all."""
        made = {
            table: [(record, row) for record in records if (row := row_of(record, self._policies))]
            for table, row_of in destination.tables.items()
        }
        filled = {table: rows for table, rows in made.items() if rows}
        answers = await all_taken(
            refused_alone(self._sink, table, rows) for table, rows in filled.items()
        )
        places = {id(record) for rows in filled.values() for record, _ in rows}
        distinct = {id(record): record for refused in answers for record in refused}
        return list(distinct.values()), len(places)

    def _refusal(self, message: Message, record: Record) -> DeadLetter:
        return DeadLetter(
            origin=message,
            stage=self.name,
            reason="rows_refused",
            error_class="PoisonError",
            value=encode_batch([encode_record(record)]),
            tenant=getattr(record, "tenant", self._tenant),
            trace_id=getattr(record, "trace_id", ""),
            span_id=getattr(record, "span_id", ""),
        )

    async def _store_letter(self, message: Message) -> None:
        try:
            await self._sink.insert("genai_dead_letters", [dead_letter_row(message, self._tenant)])
        except PoisonError as error:
            # Its bytes stay on the topic; only the row that points there is missing.
            log.error(
                "no row for the dead letter %s/%d/%d: %s",
                message.topic, message.partition, message.offset, error.reason,
            )  # fmt: skip
            STAGE_RECORDS.labels(self.name, "dead").inc()
        else:
            STAGE_RECORDS.labels(self.name, "stored").inc()
