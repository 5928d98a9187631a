"""The two exporters: what the SDK calls, on one bounded buffer and one thread each."""

import os
import threading
import weakref
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ingest.exporters.buffer import Buffer
from ingest.exporters.packing import RECORD_OVERHEAD_BYTES, Encode, pack
from ingest.exporters.report import Delivery, Report
from ingest.exporters.sender import Sender
from ingest.kafka import kafka_options
from ingest.signals import LOGS, TRACES, Signal
from schemas.config import MIB, KafkaConfig
from schemas.topics import OTLP_LOGS, OTLP_SPANS

MAX_BUFFER_BYTES = 32 * MIB
MAX_BUFFER_MESSAGES = 1024
SHUTDOWN_TIMEOUT_S = 5.0
"""Longest that ``shutdown`` holds up the end of an application, whatever the SDK allows."""


class _KafkaExporter:
    """What both exporters share: pack, hold, flush, fork."""

    def __init__(
        self,
        kafka: str | KafkaConfig,
        *,
        topic: str,
        max_buffer_bytes: int,
        max_buffer_messages: int,
        shutdown_timeout_s: float,
        meter_provider: MeterProvider | None,
        signal: Signal,
        encode: Encode,
    ) -> None:
        config = KafkaConfig(bootstrap_servers=kafka) if isinstance(kafka, str) else kafka
        if not config.bootstrap_servers or not topic:
            raise ValueError("kafka (host:port) and topic must not be empty")
        self._options = {**kafka_options(config), "max_request_size": config.max_message_bytes}
        self._topic = topic
        self._signal = signal
        self._encode = encode
        self._bounds = (max_buffer_bytes, max_buffer_messages)
        self._shutdown_timeout_s = shutdown_timeout_s
        self._max_bytes = config.max_message_bytes - RECORD_OVERHEAD_BYTES
        self._closed = False
        self._report = Report("span" if signal is TRACES else "log", meter_provider)
        self._reset()
        self._ensure_started()
        if hasattr(os, "register_at_fork"):  # not on Windows
            reset = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    @property
    def delivery(self) -> Delivery:
        """What was acknowledged, dropped (by reason) and is waiting, so far."""
        return self._report.snapshot(*self._buffer.held())

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything given to ``export`` is acknowledged; False if not in time.

        ``provider.force_flush()`` of the SDK hands over what it has, and does not wait for this.
        """
        return self._flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Flush within ``timeout_millis`` and ``shutdown_timeout_s``, then end the thread.

        What has no acknowledgement by then counts as dropped.
        """
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            self._flush(min(timeout_millis / 1000, self._shutdown_timeout_s))
            self._sender.stop()
        self._report.dropped(self._buffer.close(), "shutdown")

    def _flush(self, timeout_s: float) -> bool:
        self._sender.hurry()
        return self._buffer.wait_empty(timeout_s)

    def _put(self, batch: Sequence[object]) -> bool:
        """Hand the batch to the thread; False if any of it was dropped. Never waits or raises."""
        if self._closed:
            self._report.dropped(len(batch), "shutdown")
            return False
        self._ensure_started()
        packed, lost = pack(batch, self._encode, self._signal, self._max_bytes)
        refused = sum(message.items for message in packed if not self._buffer.put(message))
        self._sender.wake()
        for reason, items in (*lost.items(), ("queue_full", refused)):
            self._report.dropped(items, reason)
        return not lost and not refused

    def _reset(self) -> None:
        """An empty buffer without a thread, in the child of a fork too: the parent sends its own.

        What the old thread used is left as it is: its sockets belong to the parent.
        """
        self._pid = 0
        self._start_lock = threading.Lock()
        self._report.reset()
        self._buffer = Buffer(*self._bounds)
        self._sender = Sender(self._options, self._topic, self._signal, self._buffer, self._report)

    def _ensure_started(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid():
                return
            try:
                self._sender.start()
            except RuntimeError as error:  # no more threads: the next batch tries again
                self._report.failed(error)
            else:
                self._pid = os.getpid()


class KafkaSpanExporter(_KafkaExporter, SpanExporter):
    """Writes spans to Kafka as ``ExportTraceServiceRequest``, one batch a message.

    Use it with a ``BatchSpanProcessor``. ``export`` says SUCCESS once the batch is in the bounded
    buffer; :attr:`delivery` tells what Kafka acknowledged.
    """

    def __init__(
        self,
        kafka: str | KafkaConfig,
        *,
        topic: str = OTLP_SPANS.name,
        max_buffer_bytes: int = MAX_BUFFER_BYTES,
        max_buffer_messages: int = MAX_BUFFER_MESSAGES,
        shutdown_timeout_s: float = SHUTDOWN_TIMEOUT_S,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """``kafka``: ``"host:port,host:port"``, or a ``KafkaConfig`` with TLS and SASL.

        Raises ``ValueError`` for settings that cannot work, ``OSError`` for a certificate that
        cannot be read; never for a broker that is away.
        """
        super().__init__(
            kafka,
            topic=topic,
            max_buffer_bytes=max_buffer_bytes,
            max_buffer_messages=max_buffer_messages,
            shutdown_timeout_s=shutdown_timeout_s,
            meter_provider=meter_provider,
            signal=TRACES,
            encode=encode_spans,
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand over a batch; FAILURE if any of it had to be dropped."""
        return SpanExportResult.SUCCESS if self._put(spans) else SpanExportResult.FAILURE


class KafkaLogExporter(_KafkaExporter, LogRecordExporter):
    """Writes log records to Kafka as ``ExportLogsServiceRequest``, one batch a message.

    Use it with a ``BatchLogRecordProcessor``; otherwise like :class:`KafkaSpanExporter`.
    """

    def __init__(
        self,
        kafka: str | KafkaConfig,
        *,
        topic: str = OTLP_LOGS.name,
        max_buffer_bytes: int = MAX_BUFFER_BYTES,
        max_buffer_messages: int = MAX_BUFFER_MESSAGES,
        shutdown_timeout_s: float = SHUTDOWN_TIMEOUT_S,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """As :class:`KafkaSpanExporter`."""
        super().__init__(
            kafka,
            topic=topic,
            max_buffer_bytes=max_buffer_bytes,
            max_buffer_messages=max_buffer_messages,
            shutdown_timeout_s=shutdown_timeout_s,
            meter_provider=meter_provider,
            signal=LOGS,
            encode=encode_logs,
        )

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand over a batch; FAILURE if any of it had to be dropped."""
        return LogRecordExportResult.SUCCESS if self._put(batch) else LogRecordExportResult.FAILURE
