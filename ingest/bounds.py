"""How much memory a request would take once decoded, told from its bytes before it is.

Decoding multiplies: an attribute of two bytes takes 42 to 63, an empty span 163 to 185, an empty
JSON object 63 (measured). :func:`check_protobuf` and :func:`check_json` add up what the parts of a
request will take, in one pass that ends as soon as that exceeds :func:`allowance`.
Most requests need none: those up to :data:`UNCHECKED_BYTES`, and those of long texts.
"""

import re
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ingest.signals import Signal
from ingest.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    MAX_DEPTH_LEVELS,
    VARINT,
    WireError,
    read_varint,
)

UNCHECKED_BYTES = 256 << 10
"""Requests up to it are not looked at: the worst of them takes 94 times its size."""
_FREE_BYTES = 24 << 20
_RATIO = 6
"""A real request takes 1 to 5 bytes for each of its own; of a message's size, all pass (tests)."""
_MOST_BYTES = 128 << 20
"""However large the request is: a gateway decodes two at once in a container of 512 MiB."""

_MESSAGE_BYTES = 40
"""Of any decoded message beside its fields: the library's own, and its place in a list, whose
earlier, shorter copies stay until the request goes."""
_UNKNOWN_BYTES = 72
"""Of a message with fields that OTLP does not have: they are kept."""
_LISTED_TEXT_BYTES = 48
_JSON_PIECE_BYTES = 100
"""What a comma or an opening bracket stands for. An object of one key has two, and takes 191 bytes,
with the span that it becomes 350; an attribute has four, and takes 320."""
_PIECE_TO_PIECE = re.compile(
    rb'[^"\[{,]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[{,]*+)*+[\[{,]', re.DOTALL
)
"""From a piece to the next one that is not in a string. Possessive: it remembers nothing."""
_CONTROL_BYTES = bytes(range(32))
_BYTES_BY_CONTROL_BYTE = 176
"""Most that one byte below 32 stands for: it is the length of a link with an unknown field."""
_BYTES_BY_BYTE = 7
"""Most, per byte, of the parts that have no such byte: a link of 32 bytes with an unknown field."""
_SHARING_BYTES = 64 << 10
_SHARING_RATIO = 40
"""With it ``gateway.batch_bytes`` (512 KiB) and one more stay below :data:`_FREE_BYTES`."""


class TooDenseError(ValueError):
    """The decoded request would take too much memory."""

    def __init__(self) -> None:
        super().__init__("too many parts in one request: send smaller ones")


def allowance(size_bytes: int) -> int:
    """Most bytes that a request of this size may take once decoded, beside its own bytes."""
    return min(_FREE_BYTES + _RATIO * size_bytes, _MOST_BYTES)


def check_protobuf(value: bytes, signal: Signal) -> None:
    """Raises :class:`TooDenseError` for a request that must not be decoded.

    Bytes that are no protobuf pass as far as they can be read: the decoder says what is wrong.
    """
    allowed_bytes = allowance(len(value))
    if len(value) <= UNCHECKED_BYTES or _most_bytes(value) <= allowed_bytes:
        return
    _Meter(value, allowed_bytes).read(_table_of(signal), 0, len(value), 0)


def check_json(value: bytes) -> None:
    """:func:`check_protobuf` for JSON."""
    if len(value) <= UNCHECKED_BYTES:
        return
    most = allowance(len(value)) // _JSON_PIECE_BYTES
    if value.count(b"{") + value.count(b"[") + value.count(b",") <= most:
        return
    position = pieces = 0
    while (found := _PIECE_TO_PIECE.match(value, position)) is not None:
        position = found.end()
        pieces += 1
        if pieces > most:
            raise TooDenseError


def may_share(value: bytes, signal: Signal) -> bool:
    """Whether a protobuf request is so small and sparse that it may share a message.

    Half a megabyte of such ones, and one more, take less than their :func:`allowance`.
    """
    if len(value) > _SHARING_BYTES:
        return False
    most_bytes = _SHARING_RATIO * len(value)
    if _most_bytes(value) <= most_bytes:
        return True
    try:
        _Meter(value, most_bytes).read(_table_of(signal), 0, len(value), 0)
    except TooDenseError:
        return False
    return True


def _most_bytes(value: bytes) -> int:
    """What a request takes at most, told by counting alone: a part has a tag or a length below 32,
    or takes 34 bytes and more.
    """
    control = len(value) - len(value.translate(None, _CONTROL_BYTES))
    return _BYTES_BY_CONTROL_BYTE * control + _BYTES_BY_BYTE * len(value)


_Table = dict[int, Any]
"""By tag: (bytes, table) of a nested message, (bytes, None) of a listed text, None of the rest."""
_UNKNOWN = (_UNKNOWN_BYTES, None)


class _Meter:
    """Adds up what the parts of one request take."""

    def __init__(self, data: bytes, left_bytes: int) -> None:
        self._data = data
        self._left_bytes = left_bytes

    def read(self, table: _Table, position: int, end: int, depth: int) -> None:
        """One message's parts. A fault ends that message alone: so goes the decoder's repair."""
        data = self._data
        known = True
        try:
            while position < end:
                tag = data[position]
                position += 1
                if tag > 0x7F:
                    tag, position = read_varint(data, position - 1, end)
                if tag & 7 == LENGTH:
                    length = data[position]
                    position += 1
                    if length > 0x7F:
                        length, position = read_varint(data, position - 1, end)
                    start, position = position, position + length
                else:
                    start = position = self._after(tag & 7, position)
                if position > end:
                    return
                part = table.get(tag, _UNKNOWN)
                if part is None:
                    continue
                if part is _UNKNOWN:
                    if not known:
                        continue
                    known = False
                self._left_bytes -= part[0]
                if self._left_bytes < 0:
                    raise TooDenseError
                if part[1] is not None and start < position and depth < MAX_DEPTH_LEVELS:
                    self.read(part[1], start, position, depth + 1)
        except (WireError, IndexError):
            return

    def _after(self, wire_type: int, position: int) -> int:
        """Where a value without a length ends. A group's tags have none: its fields follow."""
        if wire_type == VARINT:
            while self._data[position] > 0x7F:
                position += 1
            return position + 1
        if wire_type > FIXED32:
            raise WireError("unknown wire type")
        return position + {FIXED64: 8, FIXED32: 4}.get(wire_type, 0)


_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_EIGHT_BYTES = {
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_INT64: VARINT,
    FieldDescriptor.TYPE_UINT64: VARINT,
}
_FOUR_BYTES = {FieldDescriptor.TYPE_FIXED32: FIXED32, FieldDescriptor.TYPE_FLOAT: FIXED32}


def _wire_type(field: FieldDescriptor) -> int:
    if field.type in (*_TEXTS, FieldDescriptor.TYPE_MESSAGE):
        return LENGTH
    return (_EIGHT_BYTES | _FOUR_BYTES).get(field.type, VARINT)


def _field_bytes(field: FieldDescriptor) -> int:
    if field.type in _TEXTS and not field.is_repeated:
        return 16
    wide = field.is_repeated or field.type in (*_EIGHT_BYTES, FieldDescriptor.TYPE_MESSAGE)
    return 8 if wide else 4


def _decoded_bytes(kind: Descriptor) -> int:
    """Of one message without its texts and parts; of a choice (oneof) the widest counts."""
    alone = sum(_field_bytes(field) for field in kind.fields if field.containing_oneof is None)
    chosen = sum(max(map(_field_bytes, one.fields)) for one in kind.oneofs)
    return _MESSAGE_BYTES + alone + chosen


@lru_cache(maxsize=2)
def _table_of(signal: Signal) -> _Table:
    return _filled({}, signal.request.DESCRIPTOR)


def _filled(known: dict[str, _Table], kind: Descriptor) -> _Table:
    table = known.get(kind.full_name)
    if table is not None:
        return table
    table = known[kind.full_name] = {}
    for field in kind.fields:
        tag = field.number << 3 | _wire_type(field)
        inner = field.message_type
        if inner is not None:
            table[tag] = (_decoded_bytes(inner), _filled(known, inner))
        else:
            table[tag] = (_LISTED_TEXT_BYTES, None) if field.is_repeated else None
    return table
