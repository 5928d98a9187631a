"""The ``operations`` stage: raw OTLP messages to fragments, ledger rows and dead letters.

Stateless. Each span is normalised alone: what one span breaks costs that span. Fragments and dead
letters are acknowledged first, then the message's ledger row, then ``process`` returns, so that a
row in the books means that its items are safe. Bytes that are no OTLP request are poison.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from ingest.otlp import Decoded, OtlpError, decode_traces, spans
from processors.batches import all_taken, bury
from processors.operations.normalize import normalize
from processors.operations.redact import Redactor, load_key
from schemas.config import Config
from schemas.identity import trace_partition
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, DeadLetter, Message, Outputs, PoisonError, StageBase
from schemas.records import LedgerRow
from schemas.topics import (
    FRAGMENTS,
    LEDGER,
    OTLP_SPANS_GATEWAY,
    RAW_SPANS,
    TENANT_HEADER,
)

log = logging.getLogger(__name__)

SPANS_PER_TURN = 20
"""Spans normalised before other tasks may run: a large message must not stall heartbeats."""
INLINE_BYTES = 64 << 10
"""A larger span is normalised in a thread: redacting one of MBs can take many seconds."""

Placed = tuple[Resource, InstrumentationScope, Span]
Outcome = Literal["out", "dead"]


class OperationsStage(StageBase):
    """Decode, normalise, redact, price. Refuses to be built without a redaction key."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(name="operations", topics=tuple(topic.name for topic in RAW_SPANS))
        self._config = config
        self._outputs = outputs
        self._redactor = Redactor(load_key(config))

    async def process(self, message: Message) -> None:
        """Normalise every span of one raw message. Raises PoisonError if it is no OTLP request."""
        tenant = self._tenant(message)
        try:
            decoded = decode_traces(message.value or b"", "sniff")
        except OtlpError as error:
            await self._book(message, tenant, items_in=1, items_out=0, dead=1)
            raise PoisonError("undecodable_otlp", error.reason) from None
        sent = await all_taken(await self._send(message, tenant, decoded))
        items_in = decoded.item_count + len(decoded.rejected)
        items_out, dead = sent.count("out"), sent.count("dead")
        await self._book(message, tenant, items_in=items_in, items_out=items_out, dead=dead)

    async def _send(
        self, message: Message, tenant: str, decoded: Decoded
    ) -> list[Awaitable[Outcome]]:
        """Start sending what each span becomes; what it became is known once it is taken."""
        sent: list[Awaitable[Outcome]] = [
            self._bury(
                DeadLetter(
                    origin=message,
                    stage=self.name,
                    reason=rejected.reason,
                    error_class="RejectedItem",
                    value=rejected.bytes,
                    tenant=tenant,
                    trace_id=rejected.trace_id,
                    span_id=rejected.span_id,
                )
            )
            for rejected in decoded.rejected
        ]
        timestamp_ms = message.first_timestamp_ms()
        for number, placed in enumerate(spans(decoded.request), 1):
            if number % SPANS_PER_TURN == 0:
                await asyncio.sleep(0)
            resource, scope, span = placed
            repaired = (span.trace_id.hex(), span.span_id.hex()) in decoded.repaired
            told = (span, resource, scope, tenant, timestamp_ms, repaired, self._redactor)
            try:
                if span.ByteSize() > INLINE_BYTES:
                    fragment = await asyncio.to_thread(normalize, *told)
                else:
                    fragment = normalize(*told)
            except Exception as error:  # one span's boundary: its neighbours go on
                log.error("a span became a dead letter: %s", type(error).__name__)
                sent.append(self._bury(self._span_letter(message, tenant, placed, error)))
                continue
            if fragment is not None:
                partition = trace_partition(
                    tenant, fragment.trace_id, self._config.kafka.partitions
                )
                taken = self._outputs.emit(FRAGMENTS.name, partition, fragment)
                sent.append(self._emitted(taken, message, tenant, placed))
        return sent

    async def _bury(self, letter: DeadLetter) -> Outcome:
        await bury(self._outputs, letter)
        return "dead"

    async def _emitted(
        self, taken: Awaitable[None], message: Message, tenant: str, placed: Placed
    ) -> Outcome:
        """A fragment that is too large for any message costs its own span alone."""
        try:
            await taken
        except PoisonError as error:
            return await self._bury(self._span_letter(message, tenant, placed, error))
        return "out"

    async def _book(
        self, message: Message, tenant: str, *, items_in: int, items_out: int, dead: int
    ) -> None:
        """Write the message's ledger row and count its items."""
        row = LedgerRow(
            tenant=tenant,
            stage=self.name,
            topic=message.topic,
            incarnation=self._config.kafka.incarnation,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=message.first_timestamp_ms(),
            items_in=items_in,
            items_out=items_out,
            filtered=items_in - items_out - dead,
            dead=dead,
        )
        partition = message.partition % self._config.kafka.partitions
        await self._outputs.emit(LEDGER.name, partition, row)
        for outcome, number in (("out", items_out), ("filtered", row.filtered), ("dead", dead)):
            STAGE_RECORDS.labels(self.name, outcome).inc(number)

    def _tenant(self, message: Message) -> str:
        """The tenant; a header is believed only on the gateway's own topic."""
        claimed = message.header(TENANT_HEADER) if message.topic == OTLP_SPANS_GATEWAY.name else ""
        return claimed or self._config.tenant

    def _span_letter(
        self, message: Message, tenant: str, placed: Placed, error: Exception
    ) -> DeadLetter:
        """A dead letter with the span alone, as a request that can be replayed."""
        resource, scope, span = placed
        request = ExportTraceServiceRequest(
            resource_spans=[
                ResourceSpans(
                    resource=resource, scope_spans=[ScopeSpans(scope=scope, spans=[span])]
                )
            ]
        )
        return DeadLetter(
            origin=message,
            stage=self.name,
            reason=error.reason if isinstance(error, PoisonError) else "normalize_failed",
            error_class=type(error).__name__,
            value=request.SerializeToString(),
            tenant=tenant,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
        )
