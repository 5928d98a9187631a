"""Collects spans and log records in memory and writes them as OTLP/JSON captures."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as InMemoryLogs
except ImportError:
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogs

RESOURCE = Resource({"service.name": "recorder", "service.version": "1.2.3",
                     "deployment.environment.name": "test"})  # fmt: skip


class Recorder:
    """Global tracer and logger providers that keep what they get."""

    def __init__(self, install: bool = True) -> None:
        self.spans = InMemorySpanExporter()
        self.logs = InMemoryLogs()
        self.span_processor = SimpleSpanProcessor(self.spans)
        self.tracer_provider = TracerProvider(resource=RESOURCE)
        self.tracer_provider.add_span_processor(self.span_processor)
        self.logger_provider = LoggerProvider(resource=RESOURCE)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        if install:
            trace.set_tracer_provider(self.tracer_provider)
            _logs.set_logger_provider(self.logger_provider)

    def write(self, folder: Path, name: str) -> None:
        """``{name}.json`` and, where there are log records, ``{name}.logs.json``."""
        found = encode_spans(self.spans.get_finished_spans())
        (folder / f"{name}.json").write_text(_text(found))
        logged = self.logs.get_finished_logs()
        if logged:
            (folder / f"{name}.logs.json").write_text(_text(encode_logs(logged)))


_PLACES = re.compile(r"/[\w./-]*/site-packages")
_OF_THE_MACHINE = ("host.", "process.", "os.", "service.instance.")


def _text(request: Any) -> str:
    """OTLP JSON without what tells of the machine that recorded it."""
    document = _hex_ids(MessageToDict(request, use_integers_for_enums=True))
    for resources in next(iter(document.values())):
        attributes = resources.get("resource", {}).get("attributes", [])
        attributes[:] = [a for a in attributes if not a["key"].startswith(_OF_THE_MACHINE)]
    text = json.dumps(document, ensure_ascii=False, indent=1)
    return _PLACES.sub("/app/site-packages", text) + "\n"


def _hex_ids(value: Any) -> Any:
    """OTLP JSON has ids in hex where protobuf's has base64."""
    if isinstance(value, list):
        return [_hex_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex()
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(item, str)
            else _hex_ids(item)
            for key, item in value.items()
        }
    return value
