"""Spans built in code, for tests of single fields."""

import json
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from processors.operations.attributes import Origin
from processors.operations.normalize import normalize
from processors.operations.redact import Redactor
from processors.runtime.memory import START_NS
from schemas.records import Call, Fragment

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
REDACTOR = Redactor(b"key of the tests, 32 bytes long.")


def any_value(value: Any) -> AnyValue:
    """An OTLP value."""
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    kinds = {bool: "bool", int: "int", float: "double", bytes: "bytes", str: "string"}
    return AnyValue(**{f"{kinds[type(value)]}_value": value})


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    """OTLP attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def make_span(attributes: dict[str, Any], **fields: Any) -> Span:
    """A span of one second at the tests' time."""
    values: dict[str, Any] = {
        "trace_id": bytes.fromhex(TRACE_ID),
        "span_id": bytes.fromhex(SPAN_ID),
        "name": "chat",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
        "attributes": pairs(attributes),
        **fields,
    }
    return Span(**values)


def chat(**attributes: Any) -> dict[str, Any]:
    """Attributes of an OTel GenAI chat; underscores of names stand for dots."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        **{f"gen_ai.{name.replace('__', '.')}": value for name, value in attributes.items()},
    }


def request(*spans: Span, scope: str = "test") -> ExportTraceServiceRequest:
    """One request with these spans."""
    resource = Resource(attributes=pairs({"service.name": "shop"}))
    scope_spans = ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope_spans])]
    )


def read_span(span: Span, scope: str = "test", timestamp_ms: int | None = None) -> Fragment | None:
    """The fragment of one span."""
    resource = Resource(attributes=pairs({"service.name": "shop"}))
    origin = Origin.of(resource, InstrumentationScope(name=scope))
    return normalize(
        span,
        origin,
        "default",
        START_NS // 1_000_000 if timestamp_ms is None else timestamp_ms,
        False,
        REDACTOR,
    )


def read(attributes: dict[str, Any], scope: str = "test", **fields: Any) -> Fragment:
    """The fragment of a span with these attributes; it must be a GenAI span."""
    fragment = read_span(make_span(attributes, **fields), scope)
    assert fragment is not None
    return fragment


def call_of(fragment: Fragment) -> Call:
    """The call of a span's fragment."""
    assert fragment.call is not None
    return fragment.call


def texts(fragment: Fragment) -> list[tuple[str, str]]:
    """All (path, text) pairs."""
    return fragment.content.parts()


def messages(*items: dict[str, Any]) -> str:
    """Messages as an attribute holds them."""
    return json.dumps(items)
