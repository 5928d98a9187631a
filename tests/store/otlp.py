"""OTLP requests for tests."""

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

Value = str | int | float | bool


def attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    """OTLP attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def any_value(value: Value) -> AnyValue:
    """One attribute value."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return (
        AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
    )


def span_of(
    trace_number: int, span_number: int, start_ns: int, values: Mapping[str, Value] | None = None
) -> Span:
    """A span of 2 ms."""
    return Span(
        trace_id=trace_number.to_bytes(16, "big"),
        span_id=span_number.to_bytes(8, "big"),
        name="work",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 2_000_000,
        attributes=attributes(values or {}),
    )


def request(spans: Iterable[Span], service: str = "shop") -> ExportTraceServiceRequest:
    """A request of one resource and scope."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=attributes({"service.name": service})),
                scope_spans=[
                    ScopeSpans(scope=InstrumentationScope(name="lib", version="1"), spans=spans)
                ],
            )
        ]
    )
