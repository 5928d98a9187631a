"""One OTLP span as the dialects see it: ids, times, and attributes as plain Python values.

Attributes are converted when asked for, since most are never read. Values are what senders really
send: numbers as text, JSON inside strings, NaN, empty strings for absent. Reading never raises:
what cannot be understood is absent.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations.python_values import parse_literal

INT64_MAX = 2**63 - 1
FIELD_MAX_CHARS = 1024
"""Longest scalar field: a model name or an id beyond this is garbage and would bloat every row."""
TOKENS_MAX = 2**40
"""A token count beyond this is garbage."""

Tree = dict[str, Any]
N = TypeVar("N", int, float)
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
    """A scalar as a short string; lists and mappings as JSON; absent as ''."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json_text(value)[:FIELD_MAX_CHARS]


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


def _raw(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    return {pair.key: pair.value for pair in pairs}


@dataclass(slots=True)
class SpanView:
    """Read access to one span with its resource and scope."""

    span: Span
    resource: Mapping[str, AnyValue]
    scope_name: str
    scope_version: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    end_ns: int
    keys: dict[str, AnyValue] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    """Keys whose values were asked for as numbers and are none."""

    @classmethod
    def of(cls, span: Span, resource: Resource, scope: InstrumentationScope) -> "SpanView":
        """The view of a decoded span."""
        start_ns = min(span.start_time_unix_nano, INT64_MAX)
        return cls(
            span=span,
            resource=_raw(resource.attributes),
            scope_name=scope.name[:FIELD_MAX_CHARS],
            scope_version=scope.version[:FIELD_MAX_CHARS],
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_span_id=span.parent_span_id.hex() if any(span.parent_span_id) else "",
            start_ns=start_ns,
            end_ns=max(start_ns, min(span.end_time_unix_nano, INT64_MAX)),
            keys=_raw(span.attributes),
        )

    def get(self, *keys: str) -> Any:
        """Value of the first key that is present and not empty text, else None."""
        for key in keys:
            raw = self.keys.get(key)
            if raw is not None:
                value = plain(raw)
                if value is not None and value != "":
                    return value
        return None

    def text(self, *keys: str) -> str:
        """First present value as a short string, or ''."""
        return as_text(self.get(*keys))

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

    def resource_text(self, *keys: str) -> str:
        """First present resource attribute as a short string, or ''."""
        for key in keys:
            raw = self.resource.get(key)
            if raw is not None and (value := as_text(plain(raw))):
                return value
        return ""

    def has_prefix(self, *prefixes: str) -> bool:
        """Whether any attribute key starts with one of the prefixes."""
        return any(key.startswith(prefixes) for key in self.keys)

    def indexed(self, prefix: str) -> list[Tree]:
        """Flattened attributes ``{prefix}{i}.a.b`` as one nested mapping per index, in order."""
        trees: dict[int, Tree] = {}
        for key, raw in self.keys.items():
            if not key.startswith(prefix):
                continue
            index, _, path = key[len(prefix) :].partition(".")
            if index.isdecimal() and len(index) <= 6 and path:
                _plant(trees.setdefault(int(index), {}), path.split("."), plain(raw))
        return [trees[index] for index in sorted(trees)]

    def events(self, *names: str) -> list[Event]:
        """Span events with one of these names, in order."""
        return [
            Event(
                event.name,
                event.time_unix_nano,
                {pair.key: plain(pair.value) for pair in event.attributes},
            )
            for event in self.span.events
            if event.name in names
        ]


def _plant(tree: Tree, path: list[str], value: Any) -> None:
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
