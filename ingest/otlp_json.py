"""OTLP/JSON to protobuf messages, tolerant where senders differ, item by item.

Ids are hex in any case, 64-bit integers strings or numbers, enums numbers or names, names in
lowerCamelCase or snake_case; unknown fields and nulls are ignored. What is not valid Unicode
(lone surrogates, invalid UTF-8) is repaired with U+FFFD. An item that does not convert is listed
with a reason; only a body that is no JSON object of that shape raises :class:`OtlpJsonError`.
"""

import base64
import json
import re
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
)
from google.protobuf.message import Message

from ingest.signals import Signal
from ingest.wire import MAX_DEPTH_LEVELS

_HEX_IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_WRAPPING_LEVELS = 3
"""Request, resource and scope around an item: the depth limit counts them."""


class OtlpJsonError(ValueError):
    """Not an OTLP/JSON request. ``reason`` names the field, never its value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JsonRequest:
    """One decoded body: ``request``, rejected (reason, JSON, trace id, span id), repaired ids."""

    def __init__(self, body: bytes, signal: Signal) -> None:
        """Raises :class:`OtlpJsonError` if the body is not an object with lists of items."""
        self._signal = signal
        self.request = signal.request()
        self.rejected: list[tuple[str, bytes, str, str]] = []
        self.repaired: set[tuple[str, str]] = set()
        for item in _list(_parsed(body), *_names(signal.resources)):
            self._add_resource(item)

    def _add_resource(self, item: dict[str, Any]) -> None:
        target = self._signal.resources_of(self.request).add()
        scopes = _list(item, *_names(self._signal.scopes))
        repaired, reason = self._fill_head(target, item, "resource")
        for scope in scopes:
            scope_target = self._signal.scopes_of(target).add()
            listed = _list(scope, *_names(self._signal.items))
            scope_repaired, scope_reason = self._fill_head(scope_target, scope, "scope")
            for one in listed:
                self._add_item(
                    self._signal.items_of(scope_target),
                    one,
                    reason or scope_reason,
                    repaired or scope_repaired,
                )

    def _fill_head(
        self, target: Message, item: dict[str, Any], part: str
    ) -> tuple[bool, str | None]:
        """Fill all but the items: (whether text was repaired, reason of failure)."""
        filler = _Filler()
        inner = (*_names(self._signal.scopes), *_names(self._signal.items))
        own = {k: v for k, v in item.items() if k not in inner}
        try:
            filler.fill(target, own, 1)
        except OtlpJsonError:
            return False, f"undecodable_{part}"
        return filler.repaired, None

    def _add_item(
        self, into: Any, value: dict[str, Any], reason: str | None, repaired: bool
    ) -> None:
        item: Any = self._signal.item_kind()
        filler = _Filler()
        try:
            if reason is not None:
                raise OtlpJsonError(reason)
            filler.fill(item, value, _WRAPPING_LEVELS)
        except OtlpJsonError as error:
            ids = (_hex(value, 32, "traceId", "trace_id"), _hex(value, 16, "spanId", "span_id"))
            self.rejected.append((error.reason, _dumped(value), *ids))
            return
        into.append(item)
        if repaired or filler.repaired:
            self.repaired.add((item.trace_id.hex(), item.span_id.hex()))


def _names(field: str) -> tuple[str, str]:
    """A protobuf field's names in JSON: lowerCamelCase, then as declared."""
    head, *rest = field.split("_")
    return head + "".join(part.capitalize() for part in rest), field


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The strict parser refuses lone surrogates and invalid UTF-8, which we repair: bytes
        # that are not UTF-8 become surrogates here, and all surrogates U+FFFD when filled in.
        try:
            value = json.loads(body.decode("utf-8", "surrogateescape"))
        except RecursionError:
            raise OtlpJsonError("JSON nested too deep") from None
        except ValueError:
            raise OtlpJsonError("malformed JSON") from None
    if not isinstance(value, dict):
        raise OtlpJsonError("the JSON body is not an object")
    return value


def _dumped(value: dict[str, Any]) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:  # a nesting bomb that could be read but not be written
        return b""


def _list(value: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    for name in names:
        found = value.get(name)
        if found is None:
            continue
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise OtlpJsonError(f"{name} is not a list of objects")
        return found
    return []


def _hex(value: dict[str, Any], digits: int, *names: str) -> str:
    """An id for the rejection's metadata; nothing that is not short hex (it may be content)."""
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and re.fullmatch(f"[0-9a-fA-F]{{1,{digits}}}", found):
            return found.lower()
    return ""


class _JsonField(NamedTuple):
    name: str
    type: int
    repeated: bool
    descriptor: Any


def _fields(kind: Descriptor) -> dict[str, _JsonField]:
    return _fields_of(kind.full_name, kind)


@lru_cache(maxsize=64)
def _fields_of(_name: str, kind: Descriptor) -> dict[str, _JsonField]:
    table = {}
    for field in kind.fields:
        entry = _JsonField(field.name, field.type, field.is_repeated, field)
        table[field.json_name] = table[field.name] = entry
    return table


class _Filler:
    """Fills one message from JSON; ``repaired`` tells whether any text had to be."""

    def __init__(self) -> None:
        self.repaired = False

    def fill(self, message: Message, value: object, depth: int) -> None:
        """Set the message's fields. Raises :class:`OtlpJsonError` naming the field."""
        if depth >= MAX_DEPTH_LEVELS:
            raise OtlpJsonError("nested_too_deep")
        if not isinstance(value, dict):
            raise OtlpJsonError(f"invalid_{message.DESCRIPTOR.name}")
        table = _fields(message.DESCRIPTOR)
        for name, item in value.items():
            field = table.get(name)
            if field is None or item is None:
                continue
            if field.repeated:
                self._fill_repeated(getattr(message, field.name), field, item, depth)
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                child = getattr(message, field.name)
                child.SetInParent()
                self.fill(child, item, depth + 1)
            else:
                scalar = self._scalar(field, item)
                try:
                    setattr(message, field.name, scalar)
                except (TypeError, ValueError):
                    raise OtlpJsonError(f"invalid_{field.name}") from None

    def _fill_repeated(self, into: Any, field: _JsonField, items: object, depth: int) -> None:
        if not isinstance(items, list):
            raise OtlpJsonError(f"invalid_{field.name}")
        for item in items:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                self.fill(into.add(), item, depth + 1)
            else:
                into.append(self._scalar(field, item))

    def _scalar(self, field: _JsonField, item: object) -> object:
        try:
            return self._converted(field, item)
        except (TypeError, ValueError, OverflowError):
            raise OtlpJsonError(f"invalid_{field.name}") from None

    def _converted(self, field: _JsonField, item: object) -> object:
        kind = field.type
        if kind == FieldDescriptor.TYPE_STRING:
            return self._string(item)
        if kind == FieldDescriptor.TYPE_BYTES:
            return _binary(field.name, item)
        if kind == FieldDescriptor.TYPE_BOOL:
            if not isinstance(item, bool):
                raise TypeError
            return item
        if isinstance(item, bool) or not isinstance(item, int | float | str):
            raise TypeError
        if kind == FieldDescriptor.TYPE_DOUBLE:
            return float(item)
        if kind == FieldDescriptor.TYPE_ENUM and isinstance(item, str) and not item.isdecimal():
            # A name with half a character in it makes protobuf's look-up fail with SystemError.
            names = field.descriptor.enum_type.values_by_name
            named = names.get(item) if item.isascii() else None
            if named is None:
                raise ValueError
            return named.number
        number = int(item)
        if isinstance(item, float) and number != item:
            raise ValueError
        return number

    def _string(self, item: object) -> str:
        if not isinstance(item, str):
            raise TypeError
        if item.isascii() or not _SURROGATE.search(item):
            return item
        self.repaired = True
        return _SURROGATE.sub("\ufffd", item)


def _binary(name: str, item: object) -> bytes:
    if not isinstance(item, str):
        raise TypeError
    if name in _HEX_IDS:
        if not item.isalnum() and item:  # fromhex would skip spaces
            raise ValueError
        return bytes.fromhex(item)
    padded = item + "=" * (-len(item) % 4)
    return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
