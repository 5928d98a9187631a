"""The traces stage: rows as the Collector's exporter writes them, redacted and without content."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.otlp import decode_traces, spans
from processors.clickhouse import ClickHouseSink
from processors.operations.redact import Redactor
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.traces import TracesStage
from processors.traces.content_attributes import holds_content, shortened
from processors.traces.rows import SpanRows, span_revision
from schemas.config import Config
from schemas.identity import NS_PER_DAY
from schemas.protocols import Message, PoisonError
from schemas.topics import TENANT_HEADER, TIMESTAMP_HEADER
from sql.tables import table
from tests.sql.conftest import REDACTION_KEY
from tests.sql.records import NOW_NS, span, trace
from tests.store.otlp import any_value, attributes, request, span_of

CAPTURES = sorted((Path(__file__).parents[1] / "captures").glob("*.json"))
NOW_MS = NOW_NS // 1_000_000
REDACTOR = Redactor(REDACTION_KEY.encode())


def message(value: bytes, topic: str = "otlp_spans", offset: int = 0, **headers: str) -> Message:
    names = {"tenant": TENANT_HEADER, "timestamp_ms": TIMESTAMP_HEADER}
    pairs = tuple((names[name], text.encode()) for name, text in headers.items())
    return Message(topic, 0, offset, NOW_MS, None, value, pairs)


def row_of(*given: Span, timestamp_ms: int = NOW_MS) -> dict[str, object]:
    """The first span's row by column."""
    rows = SpanRows(REDACTOR, "default", timestamp_ms)
    made = [rows.row(*found) for found in spans(request(given))]
    return dict(zip(table("otel_spans").columns, made[0], strict=True))


async def process(config: Config, sink: ClickHouseSink, given: Message) -> None:
    outputs = MemoryOutputs()
    await TracesStage(config, outputs, SystemClock(), sink).process(given)
    assert not outputs.letters


def ledger(client: Client, topic: str, offset: int) -> list[tuple[object, ...]]:
    rows = client.query(
        "SELECT tenant, items_in, items_out, filtered, dead FROM genai_ledger FINAL "
        "WHERE stage = 'traces' AND topic = {topic:String} AND offset = {offset:Int64}",
        parameters={"topic": topic, "offset": offset},
    ).result_rows
    return [tuple(row) for row in rows]


async def test_span_reads_as_the_exporter_wrote_it(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    given = span_of(1, 1, NOW_NS, {"a": "text", "n": 3, "f": 0.5, "whole": 2.0, "b": True})
    given.attributes.append(
        KeyValue(
            key="nested",
            value=AnyValue(
                array_value=ArrayValue(
                    values=[
                        any_value("x"),
                        any_value(1),
                        AnyValue(kvlist_value=KeyValueList(values=attributes({"k": False}))),
                    ]
                )
            ),
        )
    )
    given.parent_span_id = bytes(7) + b"\x09"
    given.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="boom"))
    given.events.add(name="e", time_unix_nano=NOW_NS + 1, attributes=attributes({"k": "v"}))
    given.links.add(trace_id=bytes(15) + b"\x07", span_id=bytes(7) + b"\x08")
    value = request([given]).SerializeToString()
    for offset in (10, 11):  # a client's re-send of the same bytes
        await process(migrated, sink, message(value, offset=offset))
    result = client.query(
        "SELECT *, toUnixTimestamp64Nano(Timestamp) AS ns FROM otel_traces "
        "WHERE TraceId = {t:String}",
        parameters={"t": trace(1)},
    )
    (found,) = (dict(zip(result.column_names, row, strict=True)) for row in result.result_rows)
    assert found["ns"] == NOW_NS
    assert found["SpanAttributes"] == {
        "a": "text",
        "n": "3",
        "f": "0.5",
        "whole": "2",
        "b": "true",
        "nested": '["x",1,{"k":false}]',
    }
    assert found["ResourceAttributes"] == {"service.name": "shop"}
    assert (found["ServiceName"], found["SpanKind"], found["Duration"]) == (
        "shop",
        "Client",
        2_000_000,
    )
    assert (found["StatusCode"], found["StatusMessage"]) == ("Error", "boom")
    assert (found["SpanId"], found["ParentSpanId"]) == (span(1), span(9))
    assert (found["Events.Name"], found["Events.Attributes"]) == (["e"], [{"k": "v"}])
    assert (found["Links.TraceId"], found["Links.SpanId"]) == ([trace(7)], [span(8)])
    assert "n=3" in found["SpanAttributeItems"]
    assert ledger(client, "otlp_spans", 10) == [("default", 1, 1, 0, 0)]
    (lookup,) = client.query(
        "SELECT Start, End FROM otel_traces_trace_id_ts WHERE TraceId = {t:String}",
        parameters={"t": trace(1)},
    ).result_rows
    assert lookup[0] == lookup[1]


def test_resending_with_other_bytes_keeps_the_later_end() -> None:
    first = span_of(2, 1, NOW_NS, {"a": 1})
    same_end = span_of(2, 1, NOW_NS, {"a": 2})
    later = span_of(2, 1, NOW_NS, {"a": 1})
    later.end_time_unix_nano += 5_000_000
    assert span_revision(first) != span_revision(same_end)
    assert span_revision(later) > max(span_revision(first), span_revision(same_end))
    absurd = span_of(2, 1, NOW_NS)
    absurd.end_time_unix_nano = (1 << 64) - 1
    assert span_revision(absurd) < 1 << 64


@pytest.mark.parametrize(
    ("offset_ns", "trusted"),
    [(0, True), (-29 * NS_PER_DAY, True), (-31 * NS_PER_DAY, False), (2 * NS_PER_DAY, False)],
)
def test_untrusted_start_is_kept_but_has_no_day(offset_ns: int, trusted: bool) -> None:
    row = row_of(span_of(3, 1, NOW_NS + offset_ns))
    assert row["Timestamp"] == NOW_NS + offset_ns
    assert (row["day"] != 0) == trusted


async def test_replayed_message_keeps_its_first_time(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    month_ago_ms = NOW_MS - 40 * NS_PER_DAY // 1_000_000
    value = request([span_of(4, 1, month_ago_ms * 1_000_000)]).SerializeToString()
    await process(migrated, sink, message(value, offset=40, timestamp_ms=str(month_ago_ms)))
    (row,) = client.query(
        "SELECT message_time FROM genai_ledger WHERE stage = 'traces' AND offset = 40"
    ).result_rows
    assert row[0].replace(tzinfo=UTC) == datetime.fromtimestamp(month_ago_ms / 1000, UTC)


async def test_tenant_header_counts_on_the_gateways_topic_only(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    value = request([span_of(5, 1, NOW_NS)]).SerializeToString()
    await process(migrated, sink, message(value, "otlp_spans.gateway", 50, tenant="acme"))
    await process(migrated, sink, message(value, "otlp_spans", 51, tenant="acme"))
    assert ledger(client, "otlp_spans.gateway", 50)[0][0] == "acme"
    assert ledger(client, "otlp_spans", 51)[0][0] == "default"


async def test_undecodable_is_counted_and_left_to_operations(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    await process(migrated, sink, message(b"\xff\xff not otlp", offset=60))
    no_id = span_of(6, 1, NOW_NS)
    no_id.trace_id = bytes(16)
    value = request([no_id, span_of(6, 2, NOW_NS)]).SerializeToString()
    await process(migrated, sink, message(value, offset=61))
    await process(migrated, sink, message(b"", offset=62))
    assert ledger(client, "otlp_spans", 60) == [("default", 1, 0, 0, 1)]
    assert ledger(client, "otlp_spans", 61) == [("default", 2, 1, 0, 1)]
    assert ledger(client, "otlp_spans", 62) == [("default", 0, 0, 0, 0)]


class PickySink:
    """A sink whose database refuses the rows of some spans."""

    def __init__(self, *refused: int) -> None:
        self.refused = {span(number) for number in refused}
        self.stored: list[Sequence[object]] = []
        self.ledger: list[Sequence[object]] = []

    async def insert(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        if name == "genai_ledger":
            self.ledger += rows
        elif any(self.refused & {cell for cell in row if isinstance(cell, str)} for row in rows):
            raise PoisonError("rows_refused")
        else:
            self.stored += rows

    def books(self) -> list[tuple[object, ...]]:
        """(in, out, dead) of each message."""
        columns = table("genai_ledger").columns
        places = [columns.index(name) for name in ("items_in", "items_out", "dead")]
        return [tuple(row[place] for place in places) for row in self.ledger]


def picky(sink: PickySink) -> tuple[TracesStage, MemoryOutputs]:
    outputs = MemoryOutputs()
    config = Config(privacy={"redaction_key": REDACTION_KEY})
    return TracesStage(config, outputs, SystemClock(), sink), outputs


async def test_a_message_of_which_every_row_is_refused_is_poison_and_its_books_say_dead() -> None:
    sink = PickySink(1, 2)
    stage, outputs = picky(sink)
    value = request([span_of(7, 1, NOW_NS), span_of(7, 2, NOW_NS)]).SerializeToString()
    with pytest.raises(PoisonError):
        await stage.process(message(value))
    assert sink.books() == [(2, 0, 2)]
    assert not outputs.letters, "the runner writes the message's own"


async def test_a_refused_row_of_a_message_costs_its_neighbours_nothing() -> None:
    sink = PickySink(3, 5)
    stage, outputs = picky(sink)
    given = [span_of(7, number, NOW_NS) for number in range(1, 8)]
    assert await stage.process(message(request(given).SerializeToString())) is None
    assert len(sink.stored) == 5
    assert sink.books() == [(7, 5, 2)]
    assert [(x.reason, x.stage, x.span_id) for x in outputs.letters] == [
        ("rows_refused", "traces", span(3)), ("rows_refused", "traces", span(5))
    ]  # fmt: skip
    again = PickySink()
    await picky(again)[0].process(message(outputs.letters[0].value))
    assert again.books() == [(1, 1, 0)], "it can be replayed"


async def test_a_message_without_a_span_that_is_stored_counts_as_dead() -> None:
    no_id = span_of(6, 1, NOW_NS)
    no_id.trace_id = bytes(16)
    stage, _ = picky(PickySink())
    unreadable = [b"\xff\xff not otlp", request([no_id]).SerializeToString()]
    readable = [b"", request([no_id, span_of(6, 2, NOW_NS)]).SerializeToString()]
    assert [await stage.process(message(value)) for value in unreadable] == ["dead", "dead"]
    assert [await stage.process(message(value)) for value in readable] == [None, None]


def test_every_string_is_redacted() -> None:
    mail = "jane.doe@example.com"
    given = span_of(8, 1, NOW_NS, {"user.contact": f"write to {mail}"})
    given.name = f"send {mail}"
    given.status.message = f"bounced: {mail}"
    given.events.add(name=mail, attributes=attributes({"exception.message": mail}))
    given.links.add(attributes=attributes({"note": mail}))
    given.attributes.append(
        KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[any_value(mail)])))
    )
    given.attributes.append(
        KeyValue(
            key="map",
            value=AnyValue(kvlist_value=KeyValueList(values=attributes({mail: mail}))),
        )
    )
    text = repr(row_of(given))
    assert mail not in text
    assert text.count("<EMAIL_") == 9


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_bytes_are_redacted_whatever_their_encoding(encoding: str) -> None:
    said = "jürgen.doe@example.com 4111111111111111".encode(encoding)
    given = span_of(8, 1, NOW_NS)
    given.attributes.append(KeyValue(key="raw", value=AnyValue(bytes_value=said)))
    kept = row_of(given)["SpanAttributes"]
    assert isinstance(kept, dict)
    decoded = base64.b64decode(kept["raw"])
    assert b"<CARD_" in decoded
    assert not {b"doe", b"4111"} & set(decoded.replace(b"\x00", b"").replace(b".", b" ").split())
    assert b"example" not in decoded.replace(b"\x00", b"")


def test_content_is_removed_and_long_strings_hashed_on_genai_spans() -> None:
    long = "x" * 300
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": "[]",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.prompt.name": "greeting",
        "custom.note": long,
        "content": "said",
    }
    given = span_of(9, 1, NOW_NS, values)
    given.events.add(name="gen_ai.choice", attributes=attributes({"message": "said", "index": 0}))
    row = row_of(given)
    assert row["SpanAttributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.prompt.name": "greeting",
        "custom.note": shortened(long),
    }
    assert shortened(long).endswith("len=300")
    assert row["Events.Attributes"] == [{"index": "0"}]
    plain = row_of(span_of(9, 2, NOW_NS, {"custom.note": long, "content": "page", "message": "m"}))
    assert plain["SpanAttributes"] == {"custom.note": long, "content": "page", "message": "m"}


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_no_content_of_a_capture_is_left(path: Path) -> None:
    """Sentences of the known content attributes appear nowhere in the rows."""
    decoded = decode_traces(path.read_bytes(), "json")
    made = SpanRows(REDACTOR, "default", NOW_MS)
    kept = repr([made.row(*found) for found in spans(decoded.request)])
    for sentence in _sentences(decoded.request):
        assert sentence not in kept


def _sentences(given_request: ExportTraceServiceRequest) -> set[str]:
    """Strings of several words within content attributes, also inside JSON text."""
    found: set[str] = set()

    def collect(item: object) -> None:
        if isinstance(item, str):
            try:
                inner = json.loads(item)
            except ValueError:
                inner = None
            if isinstance(inner, (dict, list)):
                collect(inner)
            elif item.count(" ") >= 3:
                found.add(item)
        elif isinstance(item, dict):
            collect(list(item.values()))
        elif isinstance(item, list):
            for member in item:
                collect(member)

    for _, _, given in spans(given_request):
        for attribute in given.attributes:
            if holds_content(attribute.key, genai=True):
                collect(attribute.value.string_value)
    return found


@pytest.mark.parametrize("said", ["9" * 5000, "-1", "soon"])
def test_a_timestamp_header_that_is_no_time_is_ignored(said: str) -> None:
    """The open topics' senders may set it."""
    given = message(b"", timestamp_ms=said)
    assert given.first_timestamp_ms() == given.timestamp_ms
