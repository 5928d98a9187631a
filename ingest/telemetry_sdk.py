"""The OpenTelemetry SDK's side of :mod:`ingest.telemetry`, imported only when it is on."""

import logging
import threading
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from ingest.telemetry import OWN_HEADER
from schemas.config import TelemetryConfig
from schemas.secrets import secret_text

log = logging.getLogger(__name__)

EXPORT_TIMEOUT_S = 5.0
SHUTDOWN_S = 2.0
"""A process that was told to stop must not wait for a receiver that is away."""
TELL_EVERY_S = 60.0
_PATH = "/v1/traces"


def make_provider(config: TelemetryConfig, service: str) -> TracerProvider:
    """A provider that samples and exports. Raises ``ValueError`` for unreadable headers."""
    endpoint = config.otlp_endpoint.rstrip("/")
    exporter = OTLPSpanExporter(
        endpoint=endpoint if endpoint.endswith(_PATH) else endpoint + _PATH,
        headers={**_headers(config), OWN_HEADER: "1"},
        timeout=EXPORT_TIMEOUT_S,
        compression=Compression.Gzip,
    )
    # It logs each failure, with a URL and at times a body; ours says it once a minute.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    provider = TracerProvider(
        sampler=TraceIdRatioBased(config.sample_ratio),
        resource=Resource.create({SERVICE_NAME: service}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(_Quiet(exporter)))
    return provider


def shut_down(provider: TracerProvider) -> None:
    """Flush for at most :data:`SHUTDOWN_S`; the SDK alone may wait for half a minute."""
    flushing = threading.Thread(target=provider.shutdown, daemon=True, name="telemetry")
    flushing.start()
    flushing.join(SHUTDOWN_S)


def _headers(config: TelemetryConfig) -> dict[str, str]:
    text = secret_text(config.headers, config.headers_file, "telemetry.headers_file")
    headers: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ValueError("telemetry.headers: NAME=VALUE, separated by commas, is needed")
        headers[name.strip().lower()] = value.strip()
    return headers


class _Quiet(SpanExporter):
    """Drops what is not taken, and says so now and then."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._dropped = 0
        self._told_s = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand on; a failure of any kind is only counted."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # a thread's boundary: the exporter's bugs are no business of the work
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._dropped += len(spans)
            if time.monotonic() - self._told_s > TELL_EVERY_S:
                log.warning("telemetry.otlp_endpoint takes no spans; %d dropped", self._dropped)
                self._told_s = time.monotonic()
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()
