"""The ``traces`` stage: raw OTLP in, every readable span into ``otel_spans``, its own books after.

Stateless. The tenant is the gateway's header on the gateway's topic, the configured one on the
open topic. Spans or messages that cannot be decoded are dead-lettered by ``operations``, which
reads the same topics; here they are only counted as dead. A span whose row ClickHouse refuses
becomes a dead letter of its own; if that is so of all of them, the message is poison. The ledger
row is written after the message's spans are in ClickHouse: balanced books mean stored spans.
"""

import asyncio
from typing import Literal

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest import telemetry
from ingest.otlp import Decoded, OtlpError, decode_traces, spans
from ingest.signals import TRACES
from processors.batches import all_taken, bury, refused_alone
from processors.operations.redact import Redactor
from processors.store.rows import ledger_row
from processors.traces.rows import SpanRows
from schemas.config import Config
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import (
    Clock,
    DeadLetter,
    Message,
    Outputs,
    PoisonError,
    StageBase,
    TableSink,
)
from schemas.records import LedgerRow
from schemas.topics import OTLP_SPANS_GATEWAY, RAW_SPANS, TENANT_HEADER

FoundSpan = tuple[Resource, InstrumentationScope, Span]


class TracesStage(StageBase):
    """See the module. Raises ``RedactionKeyError`` when built without a redaction key."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock, sink: TableSink) -> None:
        super().__init__("traces", tuple(topic.name for topic in RAW_SPANS))
        self._tenant = config.tenant
        self._outputs = outputs
        self._incarnation = config.kafka.incarnation
        self._redactor = Redactor.of(config)
        self._sink = sink

    async def process(self, message: Message) -> Literal["dead"] | None:
        """Store one message's spans, then its ledger row.

        Raises :class:`PoisonError` if ClickHouse refuses all of its rows (its books then say dead).
        """
        tenant = self._tenant_of(message)
        try:
            decoded = decode_traces(message.value or b"", "sniff")
        except OtlpError:
            await self._keep_books(message, tenant, stored=0, dead=1)
            return "dead"
        # In a thread: redacting MBs of text takes seconds.
        filled = await asyncio.to_thread(self._rows, message, tenant, decoded)
        refused = await refused_alone(self._sink, "otel_spans", filled)
        stored, dead = len(filled) - len(refused), len(decoded.rejected) + len(refused)
        if refused and not stored:
            await self._keep_books(message, tenant, stored=0, dead=dead)
            raise PoisonError("rows_refused", message.topic, tenant=tenant)
        await all_taken(
            bury(self._outputs, self._refusal(message, tenant, found)) for found in refused
        )
        await self._keep_books(message, tenant, stored=stored, dead=dead)
        return "dead" if dead and not stored else None

    def _tenant_of(self, message: Message) -> str:
        if message.topic == OTLP_SPANS_GATEWAY.name:
            return message.header(TENANT_HEADER) or self._tenant
        return self._tenant

    def _rows(
        self, message: Message, tenant: str, decoded: Decoded
    ) -> list[tuple[FoundSpan, tuple[object, ...]]]:
        maker = SpanRows(self._redactor, tenant, message.first_timestamp_ms())
        return [(found, maker.row(*found)) for found in spans(decoded.request)]

    def _refusal(self, message: Message, tenant: str, found: FoundSpan) -> DeadLetter:
        """A dead letter with the span alone, as a request that can be replayed."""
        span = found[2]
        return DeadLetter(
            origin=message,
            stage=self.name,
            reason="rows_refused",
            error_class="PoisonError",
            value=TRACES.request_of(*found).SerializeToString(),
            tenant=tenant,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
        )

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
