"""What tells OTLP's traces from its logs: message types, field names, paths, topics.

Both signals nest alike (resource, scope, item, with the same field numbers), so everything that
reads, repairs, splits and answers is written once over this table.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from schemas.topics import OTLP_LOGS_GATEWAY, OTLP_SPANS_GATEWAY, Topic


@dataclass(frozen=True, slots=True)
class Signal:
    """One OTLP signal. Field names are protobuf's; JSON's are their lowerCamelCase."""

    name: str
    path: str
    grpc_method: str
    topic: Topic
    item: str
    """What one item is called in reasons of rejection."""
    request: type[Message]
    response: type[Message]
    resource_kind: type[Message]
    scope_kind: type[Message]
    item_kind: type[Message]
    resources: str
    scopes: str
    items: str
    rejected: str
    """Field of the response's partial success."""
    needs_ids: bool
    """Whether an item without trace and span id is rejected."""

    def resources_of(self, request: Message) -> Any:
        """The request's resources, a repeated field."""
        return getattr(request, self.resources)

    def scopes_of(self, resource: Message) -> Any:
        """The resource's scopes, a repeated field."""
        return getattr(resource, self.scopes)

    def items_of(self, scope: Message) -> Any:
        """The scope's spans or log records, a repeated field."""
        return getattr(scope, self.items)

    def request_of(self, resource: Message, scope: Message, item: Message) -> Message:
        """A request of this one item."""
        inner = self.scope_kind(**{"scope": scope, self.items: [item]})
        return self.request(
            **{self.resources: [self.resource_kind(**{"resource": resource, self.scopes: [inner]})]}
        )


TRACES = Signal(
    name="traces",
    path="/v1/traces",
    grpc_method="/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    topic=OTLP_SPANS_GATEWAY,
    item="span",
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    resource_kind=ResourceSpans,
    scope_kind=ScopeSpans,
    item_kind=Span,
    resources="resource_spans",
    scopes="scope_spans",
    items="spans",
    rejected="rejected_spans",
    needs_ids=True,
)
LOGS = Signal(
    name="logs",
    path="/v1/logs",
    grpc_method="/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    topic=OTLP_LOGS_GATEWAY,
    item="log_record",
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    resource_kind=ResourceLogs,
    scope_kind=ScopeLogs,
    item_kind=LogRecord,
    resources="resource_logs",
    scopes="scope_logs",
    items="log_records",
    rejected="rejected_log_records",
    needs_ids=False,
)
SIGNALS = (TRACES, LOGS)
