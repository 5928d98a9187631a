"""The ``operations`` stage: raw OTLP messages to fragments, ledger rows and dead letters.

Stateless. Each span or log record (item) is normalised alone: what one breaks costs that one.
Everything that an item becomes is acknowledged first, then the message's ledger row, then
``process`` returns, so that a row in the books means that its items are safe. Bytes that are no
OTLP request are poison.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any, Literal, NamedTuple

from ingest import telemetry
from ingest.otlp import Decoded, OtlpError, decode, log_records, spans
from ingest.signals import LOGS, TRACES
from processors.batches import all_taken, bury
from processors.operations import external
from processors.operations.attributes import Origin
from processors.operations.dialects.log_events import event_name
from processors.operations.normalize import normalize, normalize_log
from processors.operations.redact import Redactor
from processors.prices.table import BUNDLED, PriceTable
from schemas.config import Config
from schemas.dead_letters import PART_ERROR_CLASS
from schemas.identity import trace_partition
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, DeadLetter, Message, Outputs, PoisonError, StageBase
from schemas.records import Evaluation, Fragment, LedgerRow
from schemas.topics import (
    EVALUATIONS,
    FRAGMENTS,
    GATEWAY_TOPICS,
    LEDGER,
    RAW_LOGS,
    RAW_SPANS,
    TENANT_HEADER,
)

log = logging.getLogger(__name__)

ITEMS_PER_TURN = 20
"""Items normalised before other tasks may run: a large message must not stall heartbeats."""
INLINE_BYTES = 64 << 10
"""A larger item is normalised in a thread: redacting one of MBs can take many seconds."""


class Placed(NamedTuple):
    """A span or log record with where it stands."""

    resource: Any
    scope: Any
    item: Any
    origin: Origin


Found = list[Fragment | Evaluation]
Outcome = Literal["out", "dead"]

_LOG_TOPICS = frozenset(topic.name for topic in RAW_LOGS)


def items_of(decoded: Decoded) -> Iterable[Placed]:
    """Every item of a request with its resource and scope, which are read once for their items."""
    resource = scope = origin = None
    for found in (log_records if decoded.signal is LOGS else spans)(decoded.request):
        if origin is None or found[0] is not resource or found[1] is not scope:
            resource, scope, _ = found
            origin = Origin.of(resource, scope)
        yield Placed(resource, scope, found[2], origin)


def read_item(
    placed: Placed,
    decoded: Decoded,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
    prices: PriceTable = BUNDLED,
) -> Found:
    """What one span or log record becomes; empty if it is none of ours.

    Pure. Raises ``PoisonError`` for what cannot be joined to a span, anything on a bug.
    """
    item, origin = placed.item, placed.origin
    if decoded.signal is LOGS:
        told = (item, origin, tenant, timestamp_ms, redactor)
        if event_name(item) == external.EVALUATION_EVENT:
            return [external.of_log(*told)]
        logged = normalize_log(*told)
        return [] if logged is None else [logged]
    repaired = (item.trace_id.hex(), item.span_id.hex()) in decoded.repaired
    fragment = normalize(item, origin, tenant, timestamp_ms, repaired, redactor, prices)
    found: Found = [] if fragment is None else [fragment]
    found += external.of_span(item, origin, tenant, timestamp_ms, redactor)
    return found


class OperationsStage(StageBase):
    """Decode, normalise, redact, price. Refuses to be built without a redaction key, or with a
    price file that cannot be used."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        topics = tuple(topic.name for topic in (*RAW_SPANS, *RAW_LOGS))
        super().__init__(name="operations", topics=topics)
        self._config = config
        self._outputs = outputs
        self._redactor = Redactor.of(config)
        self._prices = PriceTable.of(config)

    async def process(self, message: Message) -> Literal["dead"] | None:
        """Normalise every item of one raw message. Raises PoisonError if it is no OTLP request, or
        if an item's dead letter is refused (its books then say dead)."""
        tenant = self._tenant(message)
        signal = LOGS if message.topic in _LOG_TOPICS else TRACES
        try:
            decoded = decode(message.value or b"", "sniff", signal)
        except OtlpError as error:
            await self._book(message, tenant, items_in=1, items_out=0, dead=1)
            raise PoisonError("undecodable_otlp", error.reason) from None
        items_in = decoded.item_count + len(decoded.rejected)
        try:
            sent = await all_taken(await self._send(message, tenant, decoded))
        except PoisonError:
            await self._book(message, tenant, items_in=items_in, items_out=0, dead=items_in)
            raise
        items_out, dead = sent.count("out"), sent.count("dead")
        await self._book(message, tenant, items_in=items_in, items_out=items_out, dead=dead)
        return "dead" if dead and not items_out else None

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
                    error_class=PART_ERROR_CLASS,
                    value=rejected.bytes,
                    tenant=tenant,
                    trace_id=rejected.trace_id,
                    span_id=rejected.span_id,
                )
            )
            for rejected in decoded.rejected
        ]
        for number, placed in enumerate(items_of(decoded), 1):
            if number % ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)
            received_ms = message.first_timestamp_ms()
            told = (placed, decoded, tenant, received_ms, self._redactor, self._prices)
            try:
                if placed.item.ByteSize() > INLINE_BYTES:
                    found = await asyncio.to_thread(read_item, *told)
                else:
                    found = read_item(*told)
            except Exception as error:  # one item's boundary: its neighbours go on
                log.error("an item became a dead letter: %s", type(error).__name__)
                sent.append(self._bury(self._letter(message, tenant, decoded, placed, error)))
                continue
            if found:
                taken = [self._emit(tenant, record) for record in found]
                sent.append(self._emitted(taken, message, tenant, decoded, placed))
        return sent

    def _emit(self, tenant: str, record: Fragment | Evaluation) -> Awaitable[None]:
        topic = FRAGMENTS if isinstance(record, Fragment) else EVALUATIONS
        partition = trace_partition(tenant, record.trace_id, self._config.kafka.partitions)
        return self._outputs.emit(topic.name, partition, record)

    async def _bury(self, letter: DeadLetter) -> Outcome:
        await bury(self._outputs, letter)
        return "dead"

    async def _emitted(
        self,
        taken: list[Awaitable[None]],
        message: Message,
        tenant: str,
        decoded: Decoded,
        placed: Placed,
    ) -> Outcome:
        """A fragment that is too large for any message costs its own item alone."""
        try:
            await all_taken(taken)
        except PoisonError as error:
            return await self._bury(self._letter(message, tenant, decoded, placed, error))
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
        telemetry.note(telemetry.RECORDS, items_in)
        partition = message.partition % self._config.kafka.partitions
        await self._outputs.emit(LEDGER.name, partition, row)
        for outcome, number in (("out", items_out), ("filtered", row.filtered), ("dead", dead)):
            STAGE_RECORDS.labels(self.name, outcome).inc(number)

    def _tenant(self, message: Message) -> str:
        """The tenant; a header is believed only on the gateway's own topics."""
        claimed = message.header(TENANT_HEADER) if message.topic in GATEWAY_TOPICS else ""
        return claimed or self._config.tenant

    def _letter(
        self, message: Message, tenant: str, decoded: Decoded, placed: Placed, error: Exception
    ) -> DeadLetter:
        """A dead letter with the item alone, as a request that can be replayed."""
        item = placed.item
        return DeadLetter(
            origin=message,
            stage=self.name,
            reason=error.reason if isinstance(error, PoisonError) else "normalize_failed",
            error_class=type(error).__name__,
            value=decoded.signal.request_of(*placed[:3]).SerializeToString(),
            tenant=tenant,
            trace_id=item.trace_id.hex(),
            span_id=item.span_id.hex(),
        )
