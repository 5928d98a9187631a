"""The ``store`` stage: every record of the ``genai.*`` topics becomes rows of its table.

Stateless; the only writer of its tables. A message that is not a batch of its topic's records, or
whose rows ClickHouse refuses, is poison. Dead letters are different: their bytes are never read,
only measured and pointed at, and they are never poison, or each would breed the next.
"""

import logging
from collections.abc import Callable, Sequence

from processors.store.rows import (
    Row,
    alert_row,
    content_row,
    dead_letter_row,
    evaluation_row,
    ledger_row,
    operation_row,
)
from schemas.config import Config
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, Message, Outputs, PoisonError, StageBase, TableSink
from schemas.records import (
    AlertTransition,
    BatchError,
    Evaluation,
    Fragment,
    LedgerRow,
    Operation,
    decode_batch,
)
from schemas.topics import (
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
    EVALUATIONS,
    FRAGMENTS,
    LEDGER,
    OPERATIONS,
)

log = logging.getLogger(__name__)

_Destination = tuple[str, Callable[[bytes | None], Sequence[Row | None]]]

_DESTINATIONS: dict[str, _Destination] = {
    FRAGMENTS.name: (
        "genai_content",
        lambda value: [content_row(record) for record in decode_batch(Fragment, value)],
    ),
    OPERATIONS.name: (
        "genai_operations",
        lambda value: [operation_row(record) for record in decode_batch(Operation, value)],
    ),
    EVALUATIONS.name: (
        "genai_evaluations",
        lambda value: [evaluation_row(record) for record in decode_batch(Evaluation, value)],
    ),
    LEDGER.name: (
        "genai_ledger",
        lambda value: [ledger_row(record) for record in decode_batch(LedgerRow, value)],
    ),
    ALERT_TRANSITIONS.name: (
        "genai_alert_events",
        lambda value: [alert_row(record) for record in decode_batch(AlertTransition, value)],
    ),
}


class StoreStage(StageBase):
    """See the module."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock, sink: TableSink) -> None:
        super().__init__("store", (*_DESTINATIONS, DEAD_LETTERS.name))
        self._tenant = config.tenant
        self._sink = sink

    async def process(self, message: Message) -> None:
        """Store one message. Raises :class:`PoisonError`; never for a dead letter."""
        if message.topic == DEAD_LETTERS.name:
            await self._store_letter(message)
            return
        table, rows_of = _DESTINATIONS[message.topic]
        try:
            rows = [row for row in rows_of(message.value) if row is not None]
        except BatchError as error:
            raise PoisonError("undecodable_batch", str(error)) from None
        await self._sink.insert(table, rows)
        STAGE_RECORDS.labels(self.name, "stored").inc(len(rows))

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
