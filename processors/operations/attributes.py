"""One OTLP span as the dialects see it: ids, times, and attributes as plain Python values.

Every attribute is converted once; JSON inside of strings is read when asked for. Values are what
senders really send: numbers as text, JSON inside strings, NaN, empty strings for absent. Reading
never raises: what cannot be understood is absent.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations.python_values import parse_literal
from processors.operations.shapes import Shape, shape_of

INT64_MAX = 2**63 - 1
FIELD_MAX_CHARS = 1024
"""Longest scalar field: a model name or an id beyond this is garbage and would bloat every row."""
FIELD_READ_MAX_CHARS = 8 * FIELD_MAX_CHARS
"""Of a scalar field before redaction, which must see whole values: it is cut after that."""
TOKENS_MAX = 2**40
"""A token count beyond this is garbage."""

Tree = dict[str, Any]
N = TypeVar("N", int, float)
_LIKE_JSON = re.compile(r"\s*[\[{]\s*[\[{\"']")
_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(value: AnyValue) -> Any:
    """The Python value of an OTLP ``AnyValue``; bytes and absent values are None."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    if kind is None or kind == "bytes_value":
        return None
    return getattr(value, kind)


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced: UTF-8 cannot carry them."""
    return _SURROGATE.sub("\ufffd", text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    return value


def parse_json(text: str) -> Any:
    """The JSON value in a text, or None. NaN and Infinity become None, lone surrogates U+FFFD."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return _clean(json.loads(text, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return None


def structured(value: Any) -> Any:
    """A list or mapping: native, as JSON text (JSON in JSON too) or as a Python literal; anything
    else is None."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        first = value.lstrip()[:1]
        if first not in ("[", "{", '"', "("):
            break
        text, value = value, parse_json(value)
        if value is None and first != '"':
            value = parse_literal(text)
    return value if isinstance(value, list | dict) else None


def mapping(value: Any) -> dict[str, Any]:
    """:func:`structured`, or an empty mapping if it is none."""
    found = structured(value)
    return found if isinstance(found, dict) else {}


def unquoted(value: Any) -> Any:
    """The value of JSON text, also of a single JSON string; what is no JSON stays as it is."""
    if not isinstance(value, str):
        return value
    found = structured(value)
    if found is None and value.startswith('"'):
        found = parse_json(value)
    return value if found is None else found


def json_text(value: Any) -> str:
    """Readable text of any value: a string as it is, the rest as compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # integers beyond 64 bits, nesting too deep
        return clean_text(str(value))


def as_text(value: Any) -> str:
    """A scalar as a short string; lists and mappings as JSON; absent as ''.

    Of a far too long one the last word goes as well, of which only a part would be left.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else json_text(value)
    if len(text) <= FIELD_READ_MAX_CHARS:
        return text
    return text[:FIELD_READ_MAX_CHARS].rpartition(" ")[0]


def as_number(value: Any) -> float | None:
    """A finite number, also from text, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_count(value: Any) -> int | None:
    """A token count, or None if it is not a plausible one."""
    number = as_number(value)
    return int(number) if number is not None and 0 <= number <= TOKENS_MAX else None


def as_decimal(value: Any) -> Decimal | None:
    """A non-negative amount of money, or None."""
    number = as_number(value)
    if number is None or not 0 <= number < 1e9:
        return None
    try:
        return Decimal(str(value).strip())
    except InvalidOperation:
        return None


@dataclass(frozen=True, slots=True)
class Event:
    """One span event."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


def plain_values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Python values by key; most are texts, which are told by their not being empty."""
    return {pair.key: (value := pair.value).string_value or plain(value) for pair in pairs}


_RESOURCE_KEYS = {
    "service_name": ("service.name",),
    "service_version": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "sdk_language": ("telemetry.sdk.language",),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where spans come from, read once for all spans of a scope.

    ``fields`` are those of a call, by name.
    """

    scope_name: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, resource: Resource, scope: InstrumentationScope) -> "Origin":
        """The origin of a scope's spans or log records."""
        said = plain_values(resource.attributes)
        fields = {
            name: next((text for key in keys if (text := as_text(said.get(key)))), "")
            for name, keys in _RESOURCE_KEYS.items()
        }
        fields["scope_name"], fields["scope_version"] = as_text(scope.name), as_text(scope.version)
        return cls(fields["scope_name"], fields)


@dataclass(slots=True)
class SpanView:
    """Read access to one span, its attributes as plain values."""

    span: Span
    origin: Origin
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    status_code: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    shape: Shape
    unreadable: set[str] = field(default_factory=set)
    """Keys whose values were asked for as numbers or JSON and are none."""

    @classmethod
    def of(cls, span: Span, origin: Origin) -> "SpanView":
        """The view of a decoded span."""
        start_ns = min(span.start_time_unix_nano, INT64_MAX)
        attributes = plain_values(span.attributes)
        return cls(
            span=span,
            origin=origin,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_span_id=span.parent_span_id.hex() if any(span.parent_span_id) else "",
            name=as_text(span.name),
            status_code=span.status.code,
            start_ns=start_ns,
            end_ns=max(start_ns, min(span.end_time_unix_nano, INT64_MAX)),
            attributes=attributes,
            shape=shape_of(attributes),
        )

    @property
    def scope_name(self) -> str:
        """Name of the instrumentation scope."""
        return self.origin.scope_name

    def get(self, *keys: str) -> Any:
        """Value of the first key that is present and not empty text, else None."""
        attributes = self.attributes
        for key in keys:
            value = attributes.get(key)
            if value is not None and value != "":
                return value
        return None

    def text(self, *keys: str) -> str:
        """First present value as a short string, or ''."""
        return as_text(self.get(*keys))

    def json(self, key: str) -> Any:
        """The value of a key that holds a list or mapping, native or as text, parsed; a text that
        is neither stays as it is, and is unreadable if it looks like one."""
        value = self.get(key)
        found = structured(value)
        if found is None and isinstance(value, str) and _LIKE_JSON.match(value):
            self.unreadable.add(key)
        return value if found is None else found

    def number(self, *keys: str) -> float | None:
        """First value that reads as a number."""
        return self._first(keys, as_number)

    def count(self, *keys: str) -> int | None:
        """First value that reads as a token count."""
        return self._first(keys, as_count)

    def _first(self, keys: Iterable[str], read: Callable[[Any], N | None]) -> N | None:
        for key in keys:
            value = self.get(key)
            if value is None:
                continue
            number = read(value)
            if number is not None:
                return number
            self.unreadable.add(key)
        return None

    def has_prefix(self, *prefixes: str) -> bool:
        """Whether any attribute key starts with one of the prefixes."""
        return self.shape.has_prefix(prefixes)

    def indexed(self, prefix: str) -> list[Tree]:
        """Flattened attributes ``{prefix}{i}.a.b`` as one nested mapping per index, in order."""
        trees: dict[int, Tree] = {}
        for key, index, path in self.shape.indexed(prefix):
            _plant(trees.setdefault(index, {}), path, self.attributes[key])
        return [trees[index] for index in sorted(trees)]

    def events(self, *names: str) -> list[Event]:
        """Span events with one of these names, in order."""
        return [
            Event(event.name, event.time_unix_nano, plain_values(event.attributes))
            for event in self.span.events
            if event.name in names
        ]


def _plant(tree: Tree, path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        branch = tree.get(step)
        if not isinstance(branch, dict):
            branch = tree[step] = {}
        tree = branch
    tree[path[-1]] = value


def branch(tree: Any, *path: str) -> Any:
    """Value at a path of nested mappings, or None."""
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def in_order(tree: Any) -> list[Any]:
    """Values of a mapping with decimal keys (``{"0": .., "1": ..}``) in index order."""
    if not isinstance(tree, dict):
        return []
    indices = [key for key in tree if key.isdecimal() and len(key) <= 6]
    return [tree[key] for key in sorted(indices, key=int)]
