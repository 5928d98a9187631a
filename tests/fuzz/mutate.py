"""Mutations of captured spans and log records: what senders could write, however wrong.

Driven by a source of choices, so that a seeded generator and a coverage-guided fuzzer share it.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import decode_logs, decode_traces, log_records, spans
from tests.operations import captures
from tests.operations.spans import any_value

T = TypeVar("T")

NASTY: tuple[Any, ...] = (
    "", " ", "null", "NaN", "Infinity", "-1", "1e400", "0x10", "٤٢", "true", "None", "[", "{", '"',
    "[]", "{}", "[[]]", "[null]", '{"role": null}', "('a',)", "{'a': nan}", "\x00", "\ufffd",
    "x" * 5000, "[" * 3000, '{"a":' * 500, "(" * 3000, "'" * 501, "\\" * 501, '["a"' * 100,
    '[{"role": ["user"], "parts": {"type": 1}}]', '{"messages": {"messages": [1]}}',
    '[{"type": "tool_call", "arguments": [[]], "id": {}}]', "data:image/png;base64," + "A" * 300,
    0, -1, 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1e308, 5e-324, float("nan"), float("inf"), True,
    False, b"", b"\xff\xfe", [], [""], [1, "a", True, 2.5], [[["deep"]]], {}, {"a": {"b": [1]}},
    {"role": "user"}, {"content": [{"text": "x"}]}, [{"type": "text"}], {"input": {"messages": 1}},
)  # fmt: skip


class Choices(Protocol):
    """Where decisions come from."""

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        ...


class Item(NamedTuple):
    """A span or log record with its resource and scope."""

    value: Span | LogRecord
    resource: Resource
    scope: InstrumentationScope


def corpus() -> list[Item]:
    """Every span and log record of every capture."""
    found: list[Item] = []
    for name in captures.names():
        traced = decode_traces((captures.CAPTURES / f"{name}.json").read_bytes(), "json")
        found += [Item(span, resource, scope) for resource, scope, span in spans(traced.request)]
    for name in captures.logged_names():
        logged = decode_logs((captures.CAPTURES / f"{name}.logs.json").read_bytes(), "json")
        found += [
            Item(log, resource, scope) for resource, scope, log in log_records(logged.request)
        ]
    return found


class Mutator:
    """Makes wrong items of real ones."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        pairs = [pair for item in items for pair in item.value.attributes]
        self._keys = sorted({pair.key for pair in pairs})
        self._values = [pair.value for pair in pairs]
        self._scopes = sorted({item.scope.name for item in items})

    def item(self, choose: Choices) -> Item:
        """A real item, changed a few times."""
        given = _one(choose, self._items)
        value: Span | LogRecord = type(given.value)()
        value.CopyFrom(given.value)
        scope = InstrumentationScope()
        scope.CopyFrom(given.scope)
        for _ in range(1 + choose.below(8)):
            self._change(choose, value, scope)
        return Item(value, given.resource, scope)

    def _change(
        self, choose: Choices, value: Span | LogRecord, scope: InstrumentationScope
    ) -> None:
        attributes = value.attributes
        match choose.below(9):
            case 0 if attributes:
                del attributes[choose.below(len(attributes))]
            case 1 if attributes:
                self._replace(choose, _one(choose, attributes).value)
            case 2 if attributes:  # a value under a key of another
                _one(choose, attributes).key = _one(choose, self._keys)
            case 3:
                added = attributes.add(key=_one(choose, self._keys))
                added.value.CopyFrom(_one(choose, self._values))
            case 4 if attributes:
                _damage(choose, _one(choose, attributes).value)
            case 5:
                scope.name = _one(choose, self._scopes)
            case 6:
                _set_times(choose, value)
            case 7:
                self._change_content(choose, value)
            case _ if attributes:
                attributes.add().CopyFrom(_one(choose, attributes))

    def _replace(self, choose: Choices, value: AnyValue) -> None:
        """Another value: a nasty one, a real one, or JSON of the one it was."""
        kind = choose.below(4)
        if kind == 0:
            value.CopyFrom(_one(choose, self._values))
        elif kind == 1:
            value.string_value = json.dumps(value.string_value)
        elif kind == 2:
            value.CopyFrom(any_value([value.string_value] * 2))
        else:
            value.CopyFrom(any_value(_one(choose, NASTY)))

    def _change_content(self, choose: Choices, value: Span | LogRecord) -> None:
        if isinstance(value, LogRecord):
            self._replace(choose, value.body)
            return
        if value.events and choose.below(2):
            event = _one(choose, value.events)
            if event.attributes:
                self._replace(choose, _one(choose, event.attributes).value)
            return
        key = _one(choose, self._keys)
        pair = KeyValue(key=key, value=any_value(_one(choose, NASTY)))
        names = ("exception", "gen_ai.choice", "db.query.result", "gen_ai.user.message",
                 "gen_ai.client.inference.operation.details", "ai.stream.firstChunk")  # fmt: skip
        value.events.add(name=_one(choose, names), attributes=[pair])


def _one(choose: Choices, options: Sequence[T]) -> T:
    return options[choose.below(len(options))]


def _damage(choose: Choices, value: AnyValue) -> None:
    """Cut, doubled or with one character changed."""
    text = value.string_value
    if not text:
        return
    at = choose.below(len(text))
    kind = choose.below(3)
    value.string_value = (
        text[:at] if kind == 0 else text[:at] + text if kind == 1 else _changed(choose, text, at)
    )


def _changed(choose: Choices, text: str, at: int) -> str:
    return text[:at] + _one(choose, "[]{}\",:\\'0n\x00ü") + text[at + 1 :]


def _set_times(choose: Choices, value: Span | LogRecord) -> None:
    times = (0, 1, 2**63, 2**64 - 1, 1_700_000_000_000_000_000)
    if isinstance(value, LogRecord):
        value.time_unix_nano = _one(choose, times)
    else:
        value.start_time_unix_nano = _one(choose, times)
        value.end_time_unix_nano = _one(choose, times)
