"""A span as a row of ``otel_spans``: redacted, without content, as the exporter would write it."""

import base64
import json
from collections.abc import Iterable, Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from processors.operations.redact import Redactor
from processors.traces.content_attributes import (
    KEPT_LONG,
    holds_content,
    is_genai,
    shortened,
)
from schemas.identity import NS_PER_MS, fragment_id, span_day
from sql.tables import table
from sql.times import day_number, ticks

_HASH_BITS = 20
_END_MS_LIMIT = (1 << 44) - 1  # so that a revision fits 64 bits; year 2527
_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES = {Status.STATUS_CODE_OK: "Ok", Status.STATUS_CODE_ERROR: "Error"}
_EXPONENT_FROM = 1e21


class SpanRows:
    """Makes rows of one message's spans. Resource texts are redacted once a resource."""

    def __init__(self, redactor: Redactor, tenant: str, timestamp_ms: int) -> None:
        self._redactor = redactor
        self._tenant = tenant
        self._timestamp_ms = timestamp_ms
        self._table = table("otel_spans")
        self._resource: Resource | None = None
        self._resource_attributes: dict[str, str] = {}

    def row(
        self, resource: Resource, scope: InstrumentationScope, span: Span
    ) -> tuple[object, ...]:
        """One row. Deterministic: the same span bytes give the same row, whatever carried them."""
        if resource is not self._resource:
            self._resource = resource
            # A resource belongs to no trace: its placeholders are those of the empty trace id.
            self._resource_attributes = self._attributes(resource.attributes, "", genai=False)
        trace_id = span.trace_id.hex()
        genai = _is_genai_span(scope, span)
        start_ns = span.start_time_unix_nano
        attributes = self._attributes(span.attributes, trace_id, genai)
        return self._table.row(
            {
                "tenant": self._tenant,
                "day": day_number(span_day(start_ns, self._timestamp_ms)),
                "revision": span_revision(span),
                "Timestamp": ticks(start_ns),
                "TraceId": trace_id,
                "SpanId": span.span_id.hex(),
                "ParentSpanId": span.parent_span_id.hex(),
                "TraceState": self._text(span.trace_state, trace_id, genai),
                "SpanName": self._text(span.name, trace_id, genai),
                "SpanKind": _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else _KINDS[0],
                "ServiceName": self._resource_attributes.get("service.name", ""),
                "ResourceAttributes": self._resource_attributes,
                "ScopeName": self._text(scope.name, trace_id, genai),
                "ScopeVersion": self._text(scope.version, trace_id, genai),
                "SpanAttributes": attributes,
                "Duration": max(span.end_time_unix_nano - start_ns, 0),
                "StatusCode": _STATUSES.get(span.status.code, "Unset"),
                "StatusMessage": self._text(span.status.message, trace_id, genai),
                "Events.Timestamp": [ticks(e.time_unix_nano) for e in span.events],
                "Events.Name": [self._text(e.name, trace_id, genai) for e in span.events],
                "Events.Attributes": [
                    self._attributes(e.attributes, trace_id, genai) for e in span.events
                ],
                "Links.TraceId": [link.trace_id.hex() for link in span.links],
                "Links.SpanId": [link.span_id.hex() for link in span.links],
                "Links.TraceState": [
                    self._text(link.trace_state, trace_id, genai) for link in span.links
                ],
                "Links.Attributes": [
                    self._attributes(link.attributes, trace_id, genai) for link in span.links
                ],
            }
        )

    def _attributes(
        self, attributes: Iterable[KeyValue], trace_id: str, genai: bool
    ) -> dict[str, str]:
        kept: dict[str, str] = {}
        for attribute in attributes:
            if not holds_content(attribute.key, genai):
                key = self._key(attribute.key, trace_id)
                key = shortened(key) if genai else key
                may_hold_content = genai and attribute.key not in KEPT_LONG
                kept[key] = self._value(attribute, trace_id, may_hold_content)
        return kept

    def _value(self, attribute: KeyValue, trace_id: str, genai: bool) -> str:
        plain = self._plain(attribute.value, trace_id, genai, attribute.key)
        text = plain if isinstance(plain, str) else _json(plain)
        return shortened(text) if genai else text

    def _plain(self, value: AnyValue, trace_id: str, genai: bool, key: str) -> object:
        """The value as JSON types, everything redacted, content keys of nested maps removed."""
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [self._plain(item, trace_id, genai, key) for item in value.array_value.values]
        if kind == "kvlist_value":
            return {
                self._key(item.key, trace_id): self._plain(item.value, trace_id, genai, item.key)
                for item in value.kvlist_value.values
                if not holds_content(item.key, genai)
            }
        if kind == "string_value":
            return self._redacted(value.string_value, trace_id, key)
        if kind == "bytes_value":
            return self._bytes(value.bytes_value, trace_id, key)
        scalar = _scalar(value, kind)
        if isinstance(scalar, bool | float) or scalar == "":
            return scalar
        text = self._redacted(str(scalar), trace_id, key)  # a card's number as an integer
        return scalar if text == str(scalar) else text

    def _bytes(self, value: bytes, trace_id: str, key: str) -> str:
        """Base64, as the exporter writes it; of bytes in which nothing is left to find.

        Bytes that are no UTF-8 are read as Latin-1, in which each byte is a character.
        """
        encoding = "utf-8"
        try:
            text = value.decode(encoding)
        except UnicodeDecodeError:
            encoding = "latin-1"
            text = value.decode(encoding)
        redacted = self._redacted(text, trace_id, key)
        return base64.b64encode(redacted.encode(encoding)).decode()

    def _key(self, key: str, trace_id: str) -> str:
        return self._redactor.redact_key(key, self._tenant, trace_id)

    def _redacted(self, text: str, trace_id: str, key: str = "") -> str:
        return self._redactor.redact_attribute(text, self._tenant, trace_id, key) if text else text

    def _text(self, text: str, trace_id: str, genai: bool) -> str:
        redacted = self._redacted(text, trace_id)
        return shortened(redacted) if genai else redacted


def span_revision(span: Span) -> int:
    """End in ms << 20 | 20 bits of the bytes' hash: of two sendings the later end is kept, of two
    equal ends always the same one.
    """
    body = span.SerializeToString(deterministic=True)
    digest = fragment_id("span", "otel", span.trace_id.hex(), span.span_id.hex(), body)
    end_ms = min(span.end_time_unix_nano // NS_PER_MS, _END_MS_LIMIT)
    return end_ms << _HASH_BITS | int(digest, 16) & 0xF_FFFF


def _is_genai_span(scope: InstrumentationScope, span: Span) -> bool:
    if is_genai(scope.name + "."):
        return True
    if any(is_genai(attribute.key) for attribute in span.attributes):
        return True
    return any(event.name.startswith("gen_ai.") for event in span.events)


def _scalar(value: AnyValue, kind: str | None) -> object:
    if kind == "double_value":
        return _number(value.double_value)
    return getattr(value, kind) if kind in ("bool_value", "int_value") else ""


def _number(value: float) -> object:
    """Whole numbers without a fraction, as the exporter prints them."""
    if value.is_integer() and abs(value) < _EXPONENT_FROM:
        return int(value)
    return value if value - value == 0 else str(value)  # NaN and infinity are no JSON numbers


def _json(value: object) -> str:
    if isinstance(value, (Mapping, list, bool)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
