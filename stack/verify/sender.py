"""Sends the planned traffic and writes down what got success.

A request is retried until it gets success or the run ends, as a sender should.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from ingest.exporters import KafkaSpanExporter
from ingest.kafka import kafka_options
from ingest.signals import LOGS, TRACES
from schemas.config import KafkaConfig
from schemas.topics import OTLP_SPANS
from stack.verify.generator import Parcel
from stack.verify.journal import JournalWriter

ANSWER_S = 15.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0


@dataclass(slots=True)
class Sender:
    """Sends parcels and journals them. ``stop_after_s`` ends retries; the rest is then journalled
    as sent, not as acked. Without ``kafka`` everything goes to the gateway, without
    ``grpc_target`` (``host:port``) by HTTP. With an ``https`` endpoint gRPC is TLS too, trusting
    ``ca_file`` or else the public authorities.
    """

    journal: JournalWriter
    endpoint: str
    kafka: KafkaConfig | None
    stop_after_s: float
    on_ack: Callable[[Parcel], None] = lambda _: None
    grpc_target: str = ""
    api_key: str = field(default="", repr=False)
    ca_file: Path | None = None
    requests: int = 0
    retries: int = 0
    _http: aiohttp.ClientSession | None = field(default=None, init=False)
    _channel: "grpc.aio.Channel | None" = field(default=None, init=False)
    _producer: AIOKafkaProducer | None = field(default=None, init=False)
    _exporter: KafkaSpanExporter | None = field(default=None, init=False)
    _exporting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def send(self, parcels: list[Parcel]) -> None:
        """Send everything at its time; returns when all have success or time is up."""
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self.ca_file))
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as self._http:
            try:
                async with asyncio.timeout(self.stop_after_s), asyncio.TaskGroup() as group:
                    for parcel in parcels:
                        await asyncio.sleep(max(0.0, started + parcel.due_s - time.monotonic()))
                        group.create_task(self._until_success(parcel))
            except TimeoutError:
                pass
        await self._close()

    async def _close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.shutdown, 1000)
        if self._producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(self._producer.stop(), ANSWER_S)

    async def _until_success(self, parcel: Parcel) -> None:
        if not parcel.logged:
            self.journal.sent(parcel.spans)
        pause_s = _FIRST_PAUSE_S
        while True:
            self.requests += 1
            if await self._attempt(parcel):
                keys = [span.key for span in parcel.spans]
                (self.journal.logged if parcel.logged else self.journal.acked)(keys)
                self.on_ack(parcel)
                return
            self.retries += 1
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    async def _attempt(self, parcel: Parcel) -> bool:
        if self.kafka is not None and not parcel.logged:
            if parcel.route == "kafka":
                return await self._by_kafka(parcel, self.kafka)
            if parcel.route == "exporter":
                return await self._by_exporter(parcel, self.kafka)
        if parcel.route == "grpc" and self.grpc_target:
            return await self._by_grpc(parcel)
        return await self._by_http(parcel)

    async def _by_http(self, parcel: Parcel) -> bool:
        assert self._http is not None  # noqa: S101 - set by send()
        signal = LOGS if parcel.logged else TRACES
        try:
            async with self._http.post(
                f"{self.endpoint}{signal.path}",
                data=parcel.body,
                headers={"Content-Type": "application/x-protobuf", **self._key_header()},
            ) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _by_grpc(self, parcel: Parcel) -> bool:
        if self._channel is None:
            self._channel = self._open_channel()
        call = self._channel.unary_unary((LOGS if parcel.logged else TRACES).grpc_method)
        try:
            await call(parcel.body, timeout=ANSWER_S, metadata=tuple(self._key_header().items()))
        except grpc.aio.AioRpcError:
            return False
        return True

    def _open_channel(self) -> grpc.aio.Channel:
        if not self.endpoint.startswith("https:"):
            return grpc.aio.insecure_channel(self.grpc_target)
        roots = self.ca_file.read_bytes() if self.ca_file else None
        return grpc.aio.secure_channel(self.grpc_target, grpc.ssl_channel_credentials(roots))

    def _key_header(self) -> dict[str, str]:
        return {"x-api-key": self.api_key} if self.api_key else {}

    async def _by_kafka(self, parcel: Parcel, kafka: KafkaConfig) -> bool:
        try:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **kafka_options(kafka), acks="all", request_timeout_ms=5000
                )
                self._producer = producer
                await producer.start()
            await asyncio.wait_for(
                self._producer.send_and_wait(OTLP_SPANS.name, parcel.body), timeout=ANSWER_S
            )
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    async def _by_exporter(self, parcel: Parcel, kafka: KafkaConfig) -> bool:
        """One parcel at a time, so that an empty buffer means that this one was acknowledged."""
        async with self._exporting:
            if self._exporter is None:
                self._exporter = KafkaSpanExporter(kafka)
            exporter = self._exporter
            dropped = exporter.delivery.dropped
            exporter.export(list(readable_spans(parcel.body)))
            flushed = await asyncio.to_thread(exporter.force_flush, int(ANSWER_S * 1000))
            return flushed and exporter.delivery.dropped == dropped


def readable_spans(body: bytes) -> Iterator[ReadableSpan]:
    """The SDK's spans of an export request, as an instrumentation would have made them."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = Resource(_values(group.resource.attributes))
        for scope in group.scope_spans:
            for span in scope.spans:
                yield ReadableSpan(
                    name=span.name,
                    context=_context(span.trace_id, span.span_id),
                    parent=_context(span.trace_id, span.parent_span_id)
                    if span.parent_span_id
                    else None,
                    resource=resource,
                    attributes=_values(span.attributes),
                    kind=SpanKind(max(0, span.kind - 1)),
                    instrumentation_scope=InstrumentationScope(scope.scope.name),
                    start_time=span.start_time_unix_nano,
                    end_time=span.end_time_unix_nano,
                )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _values(attributes: list[KeyValue]) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in attributes
    }
