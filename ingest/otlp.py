"""Decode OTLP trace requests, protobuf or JSON, so that one bad span costs one span.

The usual request is parsed once by the protobuf library. If that refuses, the wire format is
walked span by span: invalid UTF-8 is repaired (U+FFFD) and listed, a span that still does not
decode is rejected with a reason, its neighbours keep their bytes. Only if the framing down to the
spans is broken is the whole request refused, by :class:`OtlpError`. No content in error texts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from ingest.otlp_json import JsonTraces, OtlpJsonError
from ingest.wire import LENGTH, Field, Walker, WireError, delimited

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
MAX_ITEMS = 1_000_000
"""Most resources, scopes and spans of one request (about 1 s of one core). The smallest useful
span takes 60 bytes, so only bodies of millions of empty messages, at 2 bytes each, exceed it."""
_NO_TRACE_ID = bytes(TRACE_ID_BYTES)
_NO_SPAN_ID = bytes(SPAN_ID_BYTES)
_RESOURCE_SPANS = 1  # field of the request
_INNER = 2  # ResourceSpans.scope_spans and ScopeSpans.spans share their number
_LOOKS_LIKE_JSON = re.compile(rb"[ \t\r\n]*\{")

Encoding = Literal["protobuf", "json"]


class OtlpError(ValueError):
    """The bytes are no OTLP trace request: nothing in them can be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RejectedSpan:
    """A span that cannot be used: its own bytes (or JSON) and, where readable, its ids as hex."""

    reason: str
    bytes: bytes
    trace_id: str = ""
    span_id: str = ""


@dataclass(slots=True)
class DecodedTraces:
    """What a request holds. ``request`` has every usable span, with its resource and scope.

    ``repaired`` holds (trace id, span id) in lower-case hex of spans whose strings, or whose
    resource's or scope's strings, were not valid UTF-8.
    """

    request: ExportTraceServiceRequest
    rejected: list[RejectedSpan] = field(default_factory=list)
    repaired: set[tuple[str, str]] = field(default_factory=set)
    span_count: int = 0
    items: int = 0
    """Resources, scopes and spans that were read."""


def decode_traces(value: bytes, content_type: Encoding | Literal["sniff"]) -> DecodedTraces:
    """Decode one request; ``sniff`` tells JSON from protobuf by its first bytes.

    Raises :class:`OtlpError` if the framing is broken.
    """
    if content_type == "json":
        decoded = _decode_json(value)
    elif content_type == "protobuf":
        decoded = _decode_protobuf(value)
    else:
        decoded = _sniff(value)
    _reject_invalid_ids(decoded)
    return decoded


def spans(
    request: ExportTraceServiceRequest,
) -> Iterator[tuple[Resource, InstrumentationScope, Span]]:
    """Every span with its resource and scope, in order."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield resource_spans.resource, scope_spans.scope, span


def _sniff(value: bytes) -> DecodedTraces:
    if not _LOOKS_LIKE_JSON.match(value):
        return _decode_protobuf(value)
    try:
        return _decode_json(value)
    except OtlpError:
        # A protobuf request of one 123-byte ResourceSpans starts with "\n{" too.
        if value[:1] == b"{":
            raise
        return _decode_protobuf(value)


def _decode_json(value: bytes) -> DecodedTraces:
    try:
        traces = JsonTraces(value)
    except OtlpJsonError as error:
        raise OtlpError(error.reason) from None
    rejected = [RejectedSpan(*parts) for parts in traces.rejected]
    return DecodedTraces(traces.request, rejected, traces.repaired)


def _decode_protobuf(value: bytes) -> DecodedTraces:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(value)
    except DecodeError:
        decoded = _SpanWalk(value).decode()
    else:
        decoded = DecodedTraces(request)
    if value and not decoded.request.resource_spans and not decoded.rejected:
        # Any bytes that happen to parse as unknown fields would otherwise vanish with success.
        raise OtlpError("no resource_spans in a request that is not empty")
    return decoded


def _reject_invalid_ids(decoded: DecodedTraces) -> None:
    """Move spans without usable ids from the request to ``rejected``; count the others.

    Raises :class:`OtlpError` beyond :data:`MAX_ITEMS`, before spending time on them.
    """
    items = len(decoded.request.resource_spans)
    for resource_spans in decoded.request.resource_spans if items <= MAX_ITEMS else ():
        items += len(resource_spans.scope_spans)
        for scope_spans in resource_spans.scope_spans if items <= MAX_ITEMS else ():
            kept = scope_spans.spans
            items += len(kept)
            if items > MAX_ITEMS:
                break
            reasons = {
                index: reason
                for index, span in enumerate(kept)
                if (reason := _invalid_id(span)) is not None
            }
            if reasons:
                good = [span for index, span in enumerate(kept) if index not in reasons]
                decoded.rejected += [
                    RejectedSpan(
                        reason,
                        kept[index].SerializeToString(),
                        kept[index].trace_id.hex(),
                        kept[index].span_id.hex(),
                    )
                    for index, reason in reasons.items()
                ]
                replacement = ScopeSpans(spans=good)
                scope_spans.ClearField("spans")
                scope_spans.MergeFrom(replacement)
            decoded.span_count += len(scope_spans.spans)
    if items > MAX_ITEMS:
        raise OtlpError("too many resources, scopes and spans in one request")
    decoded.items = items


def _invalid_id(span: Span) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != TRACE_ID_BYTES or trace_id == _NO_TRACE_ID:
        return "invalid_trace_id"
    if len(span_id) != SPAN_ID_BYTES or span_id == _NO_SPAN_ID:
        return "invalid_span_id"
    return None


class _SpanWalk:
    """Decodes a request that the protobuf library refused, span by span."""

    def __init__(self, value: bytes) -> None:
        self._data = value
        self._walker = Walker()
        self._rejected: list[RejectedSpan] = []
        self._repaired_ids: set[tuple[str, str]] = set()

    def decode(self) -> DecodedTraces:
        """Everything readable. Raises :class:`OtlpError` if the framing is broken."""
        try:
            rebuilt = self._rebuilt()
            request = ExportTraceServiceRequest.FromString(rebuilt)
        except WireError as error:
            raise OtlpError(f"malformed protobuf: {error}") from None
        except DecodeError:
            raise OtlpError("malformed protobuf") from None
        return DecodedTraces(request, self._rejected, self._repaired_ids)

    def _rebuilt(self) -> bytes:
        pieces: list[bytes] = []
        for item in self._walker.fields(self._data, 0, len(self._data)):
            if item.number == _RESOURCE_SPANS and item.wire_type == LENGTH:
                pieces.append(delimited(_RESOURCE_SPANS, self._resource_spans(item)))
            else:
                pieces.append(self._data[item.start : item.end])
        return b"".join(pieces)

    def _resource_spans(self, place: Field) -> bytes:
        head, scopes = self._divided(place)
        readable, repaired = self._checked_head(ResourceSpans, head)
        reason = None if readable is not None else "undecodable_resource"
        pieces = [readable or b""]
        for scope in scopes:
            pieces.append(delimited(_INNER, self._scope_spans(scope, reason, repaired)))
        return b"".join(pieces)

    def _scope_spans(self, place: Field, reason: str | None, repaired: bool) -> bytes:
        head, items = self._divided(place)
        readable, scope_repaired = self._checked_head(ScopeSpans, head)
        if readable is None:
            reason = reason or "undecodable_scope"
        pieces = [readable or b""]
        for item in items:
            body = self._data[item.value_start : item.end]
            if reason is not None:
                self._reject(reason, body)
                continue
            kept = self._span(body, repaired or scope_repaired)
            if kept is not None:
                pieces.append(delimited(_INNER, kept))
        return b"".join(pieces)

    def _divided(self, place: Field) -> tuple[bytes, list[Field]]:
        """Own fields of a ResourceSpans or ScopeSpans (joined), and places of what it holds."""
        head: list[bytes] = []
        items: list[Field] = []
        for item in self._walker.fields(self._data, place.value_start, place.end):
            if item.number == _INNER and item.wire_type == LENGTH:
                items.append(item)
            else:
                head.append(self._data[item.start : item.end])
        return b"".join(head), items

    def _checked_head(
        self, kind: type[ResourceSpans] | type[ScopeSpans], head: bytes
    ) -> tuple[bytes | None, bool]:
        """The head, repaired if it must be, and whether it was; None if it does not decode."""
        if _parses(kind, head):
            return head, False
        repaired = self._repair(kind, head)
        if repaired is None or not _parses(kind, repaired):
            return None, False
        return repaired, True

    def _span(self, body: bytes, repaired: bool) -> bytes | None:
        """Bytes to keep, or None after rejecting the span."""
        if not _parses_as_span(body):
            fixed = self._repair(Span, body)
            if fixed is None or not _parses_as_span(fixed):
                self._reject("undecodable_span", body)
                return None
            body, repaired = fixed, True
        if repaired:
            span = Span.FromString(body)
            self._repaired_ids.add((span.trace_id.hex(), span.span_id.hex()))
        return body

    def _repair(
        self, kind: type[ResourceSpans] | type[ScopeSpans] | type[Span], body: bytes
    ) -> bytes | None:
        """The message with UTF-8 repaired; None if that is not what is wrong with it."""
        try:
            return self._walker.repaired(kind.DESCRIPTOR, body, 0, len(body))
        except WireError:
            return None

    def _reject(self, reason: str, body: bytes) -> None:
        """Record the span with its ids, as far as its bytes can be walked."""
        ids = {1: "", 2: ""}
        try:
            for item in self._walker.fields(body, 0, len(body)):
                short = item.end - item.value_start <= TRACE_ID_BYTES
                if item.number in ids and item.wire_type == LENGTH and short:
                    ids[item.number] = body[item.value_start : item.end].hex()
                if ids[1] and ids[2]:
                    break
        except WireError:
            pass  # the ids found so far
        self._rejected.append(RejectedSpan(reason, body, ids[1], ids[2]))


def _parses(kind: type[ResourceSpans] | type[ScopeSpans], head: bytes) -> bool:
    try:
        kind.FromString(head)
    except DecodeError:
        return False
    return True


def _parses_as_span(body: bytes) -> bool:
    # Wrapped as in a request, because the nesting limit counts from the outermost message.
    request = delimited(_RESOURCE_SPANS, delimited(_INNER, delimited(_INNER, body)))
    try:
        ExportTraceServiceRequest.FromString(request)
    except DecodeError:
        return False
    return True
