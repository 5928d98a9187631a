"""The ``traces`` stage: raw OTLP in, every readable span into ``otel_spans``, its own books after.

Stateless. The tenant is the gateway's header on the gateway's topic, the configured one on the
open topic. Spans or messages that cannot be decoded are dead-lettered by ``operations``, which
reads the same topics; here they are only counted as dead. The ledger row is written after the
message's spans are in ClickHouse, so that balanced books mean stored spans.
"""

import asyncio

from ingest import telemetry
from ingest.otlp import Decoded, OtlpError, decode_traces, spans
from processors.operations.redact import Redactor
from processors.store.rows import ledger_row
from processors.traces.rows import SpanRows
from schemas.config import Config
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, Message, Outputs, PoisonError, StageBase, TableSink
from schemas.records import LedgerRow
from schemas.topics import OTLP_SPANS_GATEWAY, RAW_SPANS, TENANT_HEADER


class TracesStage(StageBase):
    """See the module. Raises ``RedactionKeyError`` when built without a redaction key."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock, sink: TableSink) -> None:
        super().__init__("traces", tuple(topic.name for topic in RAW_SPANS))
        self._tenant = config.tenant
        self._incarnation = config.kafka.incarnation
        self._redactor = Redactor.of(config)
        self._sink = sink

    async def process(self, message: Message) -> None:
        """Store one message's spans, then its ledger row.

        Raises :class:`PoisonError` if ClickHouse refuses its rows (its books then say dead).
        """
        tenant = self._tenant_of(message)
        try:
            decoded = decode_traces(message.value or b"", "sniff")
        except OtlpError:
            await self._keep_books(message, tenant, stored=0, dead=1)
            return
        # In a thread: redacting MBs of text takes seconds.
        rows = await asyncio.to_thread(self._rows, message, tenant, decoded)
        dead = len(decoded.rejected)
        try:
            await self._sink.insert("otel_spans", rows)
        except PoisonError:
            await self._keep_books(message, tenant, stored=0, dead=dead + len(rows))
            raise
        await self._keep_books(message, tenant, stored=len(rows), dead=dead)

    def _tenant_of(self, message: Message) -> str:
        if message.topic == OTLP_SPANS_GATEWAY.name:
            return message.header(TENANT_HEADER) or self._tenant
        return self._tenant

    def _rows(self, message: Message, tenant: str, decoded: Decoded) -> list[tuple[object, ...]]:
        maker = SpanRows(self._redactor, tenant, message.first_timestamp_ms())
        return [maker.row(*found) for found in spans(decoded.request)]

    async def _keep_books(self, message: Message, tenant: str, *, stored: int, dead: int) -> None:
        STAGE_RECORDS.labels(self.name, "stored").inc(stored)
        STAGE_RECORDS.labels(self.name, "dead").inc(dead)
        telemetry.note(telemetry.RECORDS, stored + dead)
        books = LedgerRow(
            tenant=tenant,
            stage=self.name,
            topic=message.topic,
            incarnation=self._incarnation,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=message.first_timestamp_ms(),
            items_in=stored + dead,
            items_out=stored,
            filtered=0,
            dead=dead,
        )
        await self._sink.insert("genai_ledger", [ledger_row(books)])
