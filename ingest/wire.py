"""Walk protobuf's wire format by hand, for requests that the protobuf library refuses whole.

One invalid UTF-8 string makes ``ParseFromString`` refuse a request of 500 spans. The walker finds
the spans by their length prefixes, so that only the broken one is repaired or rejected. It visits
each byte a bounded number of times, counts the fields it visits and bounds nesting: hostile bytes
cost linear time and end in :class:`WireError`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
)

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

MAX_DEPTH_LEVELS = 100
"""Nesting that the protobuf library itself accepts: beyond it recursion would not be bounded."""
MAX_FIELDS = 4_000_000
"""Fields one walk may visit: about 4 s of one core, for 64 MiB of two-byte fields."""
_MAX_VARINT_BYTES = 10


class WireError(ValueError):
    """Bytes that do not follow the wire format, or exceed the walker's bounds."""


class Field(NamedTuple):
    """One field's place in the buffer: tag at ``start``, value at ``value_start``..``end``."""

    number: int
    wire_type: int
    start: int
    value_start: int
    end: int


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Value and the position after it. Raises :class:`WireError` if it does not end in time."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise WireError("truncated or overlong varint")


def write_varint(value: int) -> bytes:
    """Bytes of a non-negative integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, value: bytes) -> bytes:
    """A length-delimited field: tag, length, value."""
    return write_varint(number << 3 | LENGTH) + write_varint(len(value)) + value


class Walker:
    """Walks the parts of one request, which share its budget of fields."""

    def __init__(self) -> None:
        self._budget_fields = MAX_FIELDS

    def fields(self, data: bytes, start: int, end: int) -> Iterator[Field]:
        """Fields of the message at ``start``..``end``, in order, nothing copied.

        Raises :class:`WireError`; groups (which OTLP never had) count as an error.
        """
        position = start
        while position < end:
            self._budget_fields -= 1
            if self._budget_fields < 0:
                raise WireError("too many fields")
            tag, value_start = read_varint(data, position, end)
            wire_type = tag & 7
            if wire_type == LENGTH:
                length, value_start = read_varint(data, value_start, end)
                after = value_start + length
            elif wire_type == VARINT:
                _, after = read_varint(data, value_start, end)
            elif wire_type == FIXED64:
                after = value_start + 8
            elif wire_type == FIXED32:
                after = value_start + 4
            else:
                raise WireError("unknown wire type")
            if after > end or tag >> 3 == 0:
                raise WireError("field runs past its message" if after > end else "field number 0")
            yield Field(tag >> 3, wire_type, position, value_start, after)
            position = after

    def repaired(
        self, kind: Descriptor, data: bytes, start: int, end: int, depth: int = 0
    ) -> bytes | None:
        """The message of type ``kind`` with invalid UTF-8 replaced by U+FFFD; None if valid.

        Strings are found by the type's descriptor, at any depth; all other bytes are kept.
        Raises :class:`WireError`.
        """
        if depth > MAX_DEPTH_LEVELS:
            raise WireError("nested too deep")
        children = text_bearing_fields(kind)
        pieces: list[bytes] = []
        copied = start
        for field in self.fields(data, start, end):
            if field.wire_type != LENGTH or field.number not in children:
                continue
            child = children[field.number]
            new = (
                repaired_utf8(data[field.value_start : field.end])
                if child is None
                else self.repaired(child, data, field.value_start, field.end, depth + 1)
            )
            if new is not None:
                pieces += (data[copied : field.start], delimited(field.number, new))
                copied = field.end
        if not pieces:
            return None
        pieces.append(data[copied:end])
        return b"".join(pieces)


def repaired_utf8(value: bytes) -> bytes | None:
    """The string with U+FFFD for what is not UTF-8; None if nothing had to be replaced."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace").encode()
    return None


def text_bearing_fields(kind: Descriptor) -> dict[int, Descriptor | None]:
    """Field numbers of strings (None) and of messages (their type) in a message type."""
    return _text_bearing_fields(kind.full_name, kind)


@lru_cache(maxsize=64)
def _text_bearing_fields(_name: str, kind: Descriptor) -> dict[int, Descriptor | None]:
    return {
        field.number: field.message_type
        for field in kind.fields
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)
    }
