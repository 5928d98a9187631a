"""Decode OTLP requests, protobuf or JSON, so that one bad span (or log record) costs itself.

What would take too much memory once decoded is refused first (:mod:`ingest.bounds`). The usual
request is then parsed once by the protobuf library. If that refuses, the wire format is walked item
by item: invalid UTF-8 is repaired (U+FFFD) and listed, an item that still does not decode is
rejected with a reason, its neighbours keep their bytes. Only if the framing down to the items is
broken is the whole request refused, by :class:`OtlpError`. No content in error texts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.bounds import TooDenseError, check_json, check_protobuf
from ingest.otlp_json import JsonRequest, OtlpJsonError
from ingest.signals import LOGS, TRACES, Signal
from ingest.wire import LENGTH, Field, Walker, WireError, delimited

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
_NO_TRACE_ID = bytes(TRACE_ID_BYTES)
_NO_SPAN_ID = bytes(SPAN_ID_BYTES)
_RESOURCES = 1  # field of the request
_INNER = 2  # scopes in a resource and items in a scope share their number
_LOOKS_LIKE_JSON = re.compile(rb"[ \t\r\n]*\{")

Encoding = Literal["protobuf", "json"]


class OtlpError(ValueError):
    """The bytes are no OTLP request of that signal: nothing in them can be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An item that cannot be used: its own bytes (or JSON) and, where readable, its ids as hex.

    The ids have an id's length at most: what is longer is no id, and may be anything.
    """

    reason: str
    bytes: bytes
    trace_id: str = ""
    span_id: str = ""


@dataclass(slots=True)
class Decoded:
    """What a request holds. ``request`` has every usable item, with its resource and scope.

    ``repaired`` holds (trace id, span id) in lower-case hex of items whose strings, or whose
    resource's or scope's strings, were not valid UTF-8.
    """

    signal: Signal
    request: Any
    rejected: list[RejectedItem] = field(default_factory=list)
    repaired: set[tuple[str, str]] = field(default_factory=set)
    item_count: int = 0
    """Usable spans or log records."""


def decode(value: bytes, content_type: Encoding | Literal["sniff"], signal: Signal) -> Decoded:
    """Decode one request; ``sniff`` tells JSON from protobuf by its first bytes.

    Raises :class:`OtlpError` if the framing is broken, or there are too many parts to decode.
    """
    if content_type == "json":
        decoded = _decode_json(value, signal)
    elif content_type == "protobuf":
        decoded = _decode_protobuf(value, signal)
    else:
        decoded = _sniff(value, signal)
    _reject_invalid_ids(decoded)
    return decoded


def decode_traces(value: bytes, content_type: Encoding | Literal["sniff"]) -> Decoded:
    """:func:`decode` an ``ExportTraceServiceRequest``."""
    return decode(value, content_type, TRACES)


def decode_logs(value: bytes, content_type: Encoding | Literal["sniff"]) -> Decoded:
    """:func:`decode` an ``ExportLogsServiceRequest``."""
    return decode(value, content_type, LOGS)


def spans(request: Any) -> Iterator[tuple[Resource, InstrumentationScope, Span]]:
    """Every span with its resource and scope, in order."""
    for resource_spans in request.resource_spans:
        resource = resource_spans.resource
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            for span in scope_spans.spans:
                yield resource, scope, span


def log_records(request: Any) -> Iterator[tuple[Resource, InstrumentationScope, LogRecord]]:
    """Every log record with its resource and scope, in order."""
    for resource_logs in request.resource_logs:
        resource = resource_logs.resource
        for scope_logs in resource_logs.scope_logs:
            scope = scope_logs.scope
            for record in scope_logs.log_records:
                yield resource, scope, record


def _sniff(value: bytes, signal: Signal) -> Decoded:
    if not _LOOKS_LIKE_JSON.match(value):
        return _decode_protobuf(value, signal)
    try:
        return _decode_json(value, signal)
    except OtlpError:
        # A protobuf request of one 123-byte resource starts with "\n{" too.
        if value[:1] == b"{":
            raise
        return _decode_protobuf(value, signal)


def _decode_json(value: bytes, signal: Signal) -> Decoded:
    try:
        check_json(value)
        found = JsonRequest(value, signal)
    except (TooDenseError, OtlpJsonError) as error:
        raise OtlpError(str(error)) from None
    rejected = [RejectedItem(*parts) for parts in found.rejected]
    return Decoded(signal, found.request, rejected, found.repaired)


def _decode_protobuf(value: bytes, signal: Signal) -> Decoded:
    request = signal.request()
    try:
        check_protobuf(value, signal)
        request.ParseFromString(value)
    except TooDenseError as error:
        raise OtlpError(str(error)) from None
    except DecodeError:
        decoded = _ItemWalk(value, signal).decode()
    else:
        decoded = Decoded(signal, request)
    if value and not signal.resources_of(decoded.request) and not decoded.rejected:
        # Any bytes that happen to parse as unknown fields would otherwise vanish with success.
        raise OtlpError(f"no {signal.resources} in a request that is not empty")
    return decoded


def _reject_invalid_ids(decoded: Decoded) -> None:
    """Move spans without usable ids from the request to ``rejected``; count the others."""
    signal = decoded.signal
    for resource in signal.resources_of(decoded.request):
        for scope in signal.scopes_of(resource):
            if signal.needs_ids:
                _reject_in_scope(decoded, scope)
            decoded.item_count += len(signal.items_of(scope))


def _reject_in_scope(decoded: Decoded, scope: Any) -> None:
    kept = decoded.signal.items_of(scope)
    reasons = {
        index: reason
        for index, item in enumerate(kept)
        if (reason := _invalid_id(item)) is not None
    }
    if not reasons:
        return
    good = [item for index, item in enumerate(kept) if index not in reasons]
    decoded.rejected += [
        RejectedItem(
            reason,
            kept[index].SerializeToString(),
            *hex_ids(kept[index]),
        )
        for index, reason in reasons.items()
    ]
    replacement = decoded.signal.scope_kind(**{decoded.signal.items: good})
    scope.ClearField(decoded.signal.items)
    scope.MergeFrom(replacement)


def hex_ids(item: Any) -> tuple[str, str]:
    """Trace and span id of a span or log record as :class:`RejectedItem` has them."""
    return item.trace_id[:TRACE_ID_BYTES].hex(), item.span_id[:SPAN_ID_BYTES].hex()


def _invalid_id(span: Any) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != TRACE_ID_BYTES or trace_id == _NO_TRACE_ID:
        return "invalid_trace_id"
    if len(span_id) != SPAN_ID_BYTES or span_id == _NO_SPAN_ID:
        return "invalid_span_id"
    return None


class _ItemWalk:
    """Decodes a request that the protobuf library refused, item by item."""

    def __init__(self, value: bytes, signal: Signal) -> None:
        self._data = value
        self._signal = signal
        self._walker = Walker()
        self._rejected: list[RejectedItem] = []
        self._repaired_ids: set[tuple[str, str]] = set()

    def decode(self) -> Decoded:
        """Everything readable. Raises :class:`OtlpError` if the framing is broken."""
        try:
            rebuilt = self._rebuilt()
            request = self._signal.request()
            request.ParseFromString(rebuilt)
        except WireError as error:
            raise OtlpError(f"malformed protobuf: {error}") from None
        except DecodeError:
            raise OtlpError("malformed protobuf") from None
        return Decoded(self._signal, request, self._rejected, self._repaired_ids)

    def _rebuilt(self) -> bytes:
        pieces: list[bytes] = []
        for item in self._walker.fields(self._data, 0, len(self._data)):
            if item.number == _RESOURCES and item.wire_type == LENGTH:
                pieces.append(delimited(_RESOURCES, self._resource(item)))
            else:
                pieces.append(self._data[item.start : item.end])
        return b"".join(pieces)

    def _resource(self, place: Field) -> bytes:
        head, scopes = self._divided(place)
        readable, repaired = self._checked_head(self._signal.resource_kind, head)
        reason = None if readable is not None else "undecodable_resource"
        pieces = [readable or b""]
        for scope in scopes:
            pieces.append(delimited(_INNER, self._scope(scope, reason, repaired)))
        return b"".join(pieces)

    def _scope(self, place: Field, reason: str | None, repaired: bool) -> bytes:
        head, items = self._divided(place)
        readable, scope_repaired = self._checked_head(self._signal.scope_kind, head)
        if readable is None:
            reason = reason or "undecodable_scope"
        pieces = [readable or b""]
        for item in items:
            body = self._data[item.value_start : item.end]
            if reason is not None:
                self._reject(reason, body)
                continue
            kept = self._item(body, repaired or scope_repaired)
            if kept is not None:
                pieces.append(delimited(_INNER, kept))
        return b"".join(pieces)

    def _divided(self, place: Field) -> tuple[bytes, list[Field]]:
        """Own fields of a resource or scope (joined), and places of what it holds."""
        head: list[bytes] = []
        items: list[Field] = []
        for item in self._walker.fields(self._data, place.value_start, place.end):
            if item.number == _INNER and item.wire_type == LENGTH:
                items.append(item)
            else:
                head.append(self._data[item.start : item.end])
        return b"".join(head), items

    def _checked_head(self, kind: type[ProtobufMessage], head: bytes) -> tuple[bytes | None, bool]:
        """The head, repaired if it must be, and whether it was; None if it does not decode."""
        if _parses(kind, head):
            return head, False
        repaired = self._repair(kind, head)
        if repaired is None or not _parses(kind, repaired):
            return None, False
        return repaired, True

    def _item(self, body: bytes, repaired: bool) -> bytes | None:
        """Bytes to keep, or None after rejecting the item."""
        if not self._parses_as_item(body):
            fixed = self._repair(self._signal.item_kind, body)
            if fixed is None or not self._parses_as_item(fixed):
                self._reject(f"undecodable_{self._signal.item}", body)
                return None
            body, repaired = fixed, True
        if repaired:
            item: Any = self._signal.item_kind()
            item.ParseFromString(body)
            self._repaired_ids.add((item.trace_id.hex(), item.span_id.hex()))
        return body

    def _repair(self, kind: type[ProtobufMessage], body: bytes) -> bytes | None:
        """The message with UTF-8 repaired; None if that is not what is wrong with it."""
        try:
            return self._walker.repaired(kind.DESCRIPTOR, body, 0, len(body))
        except WireError:
            return None

    def _reject(self, reason: str, body: bytes) -> None:
        """Record the item with its ids, as far as its bytes can be walked."""
        fields = self._signal.item_kind.DESCRIPTOR.fields_by_name
        trace, span = fields["trace_id"].number, fields["span_id"].number
        ids = {trace: "", span: ""}
        most_bytes = {trace: TRACE_ID_BYTES, span: SPAN_ID_BYTES}
        try:
            for item in self._walker.fields(body, 0, len(body)):
                if item.number in ids and item.wire_type == LENGTH:
                    end = min(item.end, item.value_start + most_bytes[item.number])
                    ids[item.number] = body[item.value_start : end].hex()
                if ids[trace] and ids[span]:
                    break
        except WireError:
            pass  # the ids found so far
        self._rejected.append(RejectedItem(reason, body, ids[trace], ids[span]))

    def _parses_as_item(self, body: bytes) -> bool:
        # Wrapped as in a request, because the nesting limit counts from the outermost message.
        return _parses(
            self._signal.request, delimited(_RESOURCES, delimited(_INNER, delimited(_INNER, body)))
        )


def _parses(kind: type[ProtobufMessage], value: bytes) -> bool:
    try:
        kind().ParseFromString(value)
    except DecodeError:
        return False
    return True
