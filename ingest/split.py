"""Keep OTLP requests under Kafka's message limit without losing a span.

Agent turns reach tens of MB, Kafka's limit is a few. A request over the limit becomes several,
cut between spans; a single span over the limit has its longest strings cut and says so in the
attribute ``streamgauge.truncated`` (its original size in bytes). A span that is too large even
then (countless small attributes) is returned as rejected, never dropped silently.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.descriptor import (
    FieldDescriptor,
)
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from ingest.otlp import RejectedSpan

TRUNCATED_ATTRIBUTE = "streamgauge.truncated"
"""Original size in bytes of a span whose longest strings were cut."""

_NESTING_BYTES = 6
"""Most bytes that a tag and a length take in front of a nested message below 2 GiB."""
_MARKER_BYTES = 64
_SHORTEST_CUT_BYTES = 256
"""Strings are not cut below this: names and ids stay whole."""

Placed = tuple[ResourceSpans, ScopeSpans, Span]


@dataclass(slots=True)
class SplitTraces:
    """Serialised requests, each within the limit, and the spans that fit in none."""

    pieces: list[bytes] = field(default_factory=list)
    rejected: list[RejectedSpan] = field(default_factory=list)


def split_traces(request: ExportTraceServiceRequest, max_bytes: int) -> SplitTraces:
    """Split a request, keeping the order of spans and each one's resource and scope."""
    result = SplitTraces()
    piece: list[Placed] = []
    size = 0
    for placed, cost, head_bytes in _costs(request):
        same = bool(piece) and piece[-1][0] is placed[0] and piece[-1][1] is placed[1]
        added = cost if same else cost + head_bytes
        if piece and size + added > max_bytes:
            result.pieces.append(request_of(piece).SerializeToString())
            piece, size, added = [], 0, cost + head_bytes
        if added > max_bytes:
            _add_truncated(result, placed, max_bytes)
            continue
        piece.append(placed)
        size += added
    if piece:
        result.pieces.append(request_of(piece).SerializeToString())
    return result


def request_of(placed: Iterable[Placed]) -> ExportTraceServiceRequest:
    """A request with copies of these spans only, under copies of their resources and scopes."""
    request = ExportTraceServiceRequest()
    last_resource: ResourceSpans | None = None
    last_scope: ScopeSpans | None = None
    for resource_spans, scope_spans, span in placed:
        if resource_spans is not last_resource:
            request.resource_spans.append(_resource_head(resource_spans))
            last_resource, last_scope = resource_spans, None
        if scope_spans is not last_scope:
            request.resource_spans[-1].scope_spans.append(_scope_head(scope_spans))
            last_scope = scope_spans
        request.resource_spans[-1].scope_spans[-1].spans.append(span)
    return request


def _costs(request: ExportTraceServiceRequest) -> Iterator[tuple[Placed, int, int]]:
    """Each span with its size and that of its resource and scope, nesting included (bytes)."""
    for resource_spans in request.resource_spans:
        resource_bytes = _resource_head(resource_spans).ByteSize() + _NESTING_BYTES
        for scope_spans in resource_spans.scope_spans:
            head_bytes = resource_bytes + _scope_head(scope_spans).ByteSize() + _NESTING_BYTES
            for span in scope_spans.spans:
                yield (
                    (resource_spans, scope_spans, span),
                    span.ByteSize() + _NESTING_BYTES,
                    head_bytes,
                )


def _resource_head(item: ResourceSpans) -> ResourceSpans:
    head = ResourceSpans(schema_url=item.schema_url)
    if item.HasField("resource"):
        head.resource.CopyFrom(item.resource)
    return head


def _scope_head(item: ScopeSpans) -> ScopeSpans:
    head = ScopeSpans(schema_url=item.schema_url)
    if item.HasField("scope"):
        head.scope.CopyFrom(item.scope)
    return head


def _add_truncated(result: SplitTraces, placed: Placed, max_bytes: int) -> None:
    original = placed[2]
    request = request_of([placed])
    excess = request.ByteSize() - (max_bytes - _MARKER_BYTES)
    if not _cut_longest(request, excess):
        result.rejected.append(
            RejectedSpan(
                "span_too_large",
                original.SerializeToString(),
                original.trace_id.hex(),
                original.span_id.hex(),
            )
        )
        return
    span = request.resource_spans[0].scope_spans[0].spans[0]
    marker = span.attributes.add(key=TRUNCATED_ATTRIBUTE)
    marker.value.int_value = original.ByteSize()
    result.pieces.append(request.SerializeToString())


def _cut_longest(request: ExportTraceServiceRequest, excess: int) -> bool:
    """Cut the longest strings to one common length, so that ``excess`` bytes go; False if not
    enough can go.
    """
    texts = sorted(_texts(request), key=lambda text: text[0])
    left = sum(size for size, _, _ in texts) - excess
    longest = 0
    for index, (size, _, _) in enumerate(texts):
        longest = left // (len(texts) - index)
        if size > longest:
            break
        left -= size
    if longest < _SHORTEST_CUT_BYTES:
        return False
    for size, message, name in texts:
        if size > longest:
            value = getattr(message, name)
            if isinstance(value, str):
                setattr(message, name, value.encode()[:longest].decode("utf-8", "ignore"))
            else:
                setattr(message, name, value[:longest])
    return True


def _texts(message: Message) -> Iterator[tuple[int, Message, str]]:
    """(bytes, message, field) of every string and byte string that may be cut."""
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            for child in value if descriptor.is_repeated else (value,):
                yield from _texts(child)
        elif isinstance(value, str | bytes) and descriptor.name != "key":
            size = len(value.encode()) if isinstance(value, str) else len(value)
            if size > _SHORTEST_CUT_BYTES:
                yield size, message, descriptor.name
