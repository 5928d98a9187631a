"""Keep OTLP requests under Kafka's message limit without losing a span or log record.

Agent turns reach tens of MB, Kafka's limit is a few. A request over the limit becomes several,
cut between items; a single item over the limit has its longest strings cut and says so in the
attribute ``streamgauge.truncated`` (its original size in bytes). An item that is too large even
then (countless small attributes) is returned as rejected, never dropped silently.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import (
    FieldDescriptor,
)
from google.protobuf.message import Message

from ingest.otlp import RejectedItem, hex_ids
from ingest.signals import Signal

TRUNCATED_ATTRIBUTE = "streamgauge.truncated"
"""Original size in bytes of a span or log record whose longest strings were cut."""

_NESTING_BYTES = 6
"""Most bytes that a tag and a length take in front of a nested message below 2 GiB."""
_MARKER_BYTES = 64
_SHORTEST_CUT_BYTES = 256
"""Strings are not cut below this: names and ids stay whole."""

Placed = tuple[Any, Any, Any]
"""A resource, a scope and one of its items, as protobuf messages."""


@dataclass(slots=True)
class SplitRequest:
    """Serialised requests, each within the limit, and the items that fit in none."""

    pieces: list[bytes] = field(default_factory=list)
    rejected: list[RejectedItem] = field(default_factory=list)


def split(request: Message, max_bytes: int, signal: Signal) -> SplitRequest:
    """Split a request, keeping the order of items and each one's resource and scope."""
    result = SplitRequest()
    piece: list[Placed] = []
    size = 0
    for placed, cost, head_bytes in _costs(request, signal):
        same = bool(piece) and piece[-1][0] is placed[0] and piece[-1][1] is placed[1]
        added = cost if same else cost + head_bytes
        if piece and size + added > max_bytes:
            result.pieces.append(request_of(piece, signal).SerializeToString())
            piece, size, added = [], 0, cost + head_bytes
        if added > max_bytes:
            _add_truncated(result, placed, max_bytes, signal)
            continue
        piece.append(placed)
        size += added
    if piece:
        result.pieces.append(request_of(piece, signal).SerializeToString())
    return result


def request_of(placed: Iterable[Placed], signal: Signal) -> Message:
    """A request with copies of these items only, under copies of their resources and scopes."""
    request = signal.request()
    last_resource: Any = None
    last_scope: Any = None
    for resource, scope, item in placed:
        if resource is not last_resource:
            signal.resources_of(request).append(_head(resource, "resource"))
            last_resource, last_scope = resource, None
        if scope is not last_scope:
            signal.scopes_of(signal.resources_of(request)[-1]).append(_head(scope, "scope"))
            last_scope = scope
        signal.items_of(signal.scopes_of(signal.resources_of(request)[-1])[-1]).append(item)
    return request


def _costs(request: Message, signal: Signal) -> Iterator[tuple[Placed, int, int]]:
    """Each item with its size and that of its resource and scope, nesting included (bytes)."""
    for resource in signal.resources_of(request):
        resource_bytes = _head(resource, "resource").ByteSize() + _NESTING_BYTES
        for scope in signal.scopes_of(resource):
            head_bytes = resource_bytes + _head(scope, "scope").ByteSize() + _NESTING_BYTES
            for item in signal.items_of(scope):
                yield (resource, scope, item), item.ByteSize() + _NESTING_BYTES, head_bytes


def _head(holder: Any, part: str) -> Any:
    """A resource's or scope's holder without what it holds."""
    head = type(holder)(schema_url=holder.schema_url)
    if holder.HasField(part):
        getattr(head, part).CopyFrom(getattr(holder, part))
    return head


def _add_truncated(result: SplitRequest, placed: Placed, max_bytes: int, signal: Signal) -> None:
    original = placed[2]
    request = request_of([placed], signal)
    excess = request.ByteSize() - (max_bytes - _MARKER_BYTES)
    if not _cut_longest(request, excess):
        result.rejected.append(
            RejectedItem(
                f"{signal.item}_too_large",
                original.SerializeToString(),
                *hex_ids(original),
            )
        )
        return
    resource = signal.resources_of(request)[0]
    item = signal.items_of(signal.scopes_of(resource)[0])[0]
    marker = item.attributes.add(key=TRUNCATED_ATTRIBUTE)
    marker.value.int_value = original.ByteSize()
    result.pieces.append(request.SerializeToString())


def _cut_longest(request: Message, excess: int) -> bool:
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
