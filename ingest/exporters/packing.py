"""Spans and log records to serialised requests that fit into a Kafka message."""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from ingest.exporters.buffer import Packed
from ingest.signals import Signal
from ingest.split import request_of, split

RECORD_OVERHEAD_BYTES = 512
"""Room for the record's framing below the message limit."""
_SMALLEST_LIMIT_BYTES = 16 << 10
"""What a broker still refuses below this is given up."""

Encode = Callable[[Sequence[Any]], Message]


def pack(
    batch: Sequence[Any], encode: Encode, signal: Signal, max_bytes: int
) -> tuple[list[Packed], dict[str, int]]:
    """Requests of at most ``max_bytes``, and the items that are in none, by reason."""
    request, unencodable = _encoded(batch, encode, signal)
    lost = {"unencodable": unencodable} if unencodable else {}
    items = len(batch) - unencodable
    if request.ByteSize() <= max_bytes:
        return ([Packed(request.SerializeToString(), items)] if items else []), lost
    packed = _split(request, max_bytes, signal)
    if too_large := items - sum(message.items for message in packed):
        lost["too_large"] = too_large
    return packed, lost


def halves(message: Packed, signal: Signal) -> list[Packed]:
    """A message that was too large as two; one of a single item as a shorter one, or none."""
    request = signal.request.FromString(message.value)
    placed = [
        (resource, scope, item)
        for resource in signal.resources_of(request)
        for scope in signal.scopes_of(resource)
        for item in signal.items_of(scope)
    ]
    if len(placed) > 1:
        middle = len(placed) // 2
        return [
            Packed(request_of(part, signal).SerializeToString(), len(part))
            for part in (placed[:middle], placed[middle:])
        ]
    limit = len(message.value) // 2
    return _split(request, limit, signal) if limit >= _SMALLEST_LIMIT_BYTES else []


def _split(request: Message, max_bytes: int, signal: Signal) -> list[Packed]:
    pieces = split(request, max_bytes, signal).pieces
    return [Packed(piece, _count(piece, signal)) for piece in pieces]


def _count(value: bytes, signal: Signal) -> int:
    return sum(
        len(signal.items_of(scope))
        for resource in signal.resources_of(signal.request.FromString(value))
        for scope in signal.scopes_of(resource)
    )


def _encoded(batch: Sequence[Any], encode: Encode, signal: Signal) -> tuple[Message, int]:
    """The batch as one request, and how many items do not convert."""
    try:
        return encode(batch), 0
    except Exception:  # an attribute that the SDK let through: its neighbours must not be lost
        request, failed = signal.request(), 0
        for item in batch:
            try:
                request.MergeFrom(encode((item,)))
            except Exception:
                failed += 1
        return request, failed
