"""The store stage: batches of each topic become rows; bad ones are poison, letters never are."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.errors import FatalStageError
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, feed
from processors.runtime.pipeline import Pipeline
from processors.store import StoreStage
from processors.store.progress import IDLE_S, TELL_S
from processors.store.rows import content_row, operation_row
from schemas.alert_records import AlertDelivery, AlertTransition
from schemas.config import Config
from schemas.dead_letters import encode_headers, whole_letter
from schemas.encoding import encode_batch
from schemas.protocols import DeadLetter, Message, PoisonError, TableSink
from schemas.records import Content, Document, LedgerRow, Operation, Record, encode_record
from schemas.topics import (
    ALERT_DELIVERIES,
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
    EMBEDDINGS,
    EVALUATIONS,
    FRAGMENTS,
    LEDGER,
    OPERATIONS,
    Topic,
)
from sql.tables import table
from tests.sql.records import NOW_NS, call, embedding, evaluation, fragment, operation, said, trace

NOW_MS = NOW_NS // 1_000_000


def batch(topic: Topic, *records: Record) -> Message:
    value = encode_batch([encode_record(record) for record in records])
    return Message(topic.name, 0, 0, NOW_MS, None, value)


def stage(sink: TableSink) -> StoreStage:
    return StoreStage(Config(), MemoryOutputs(), SystemClock(), sink)


class RefusingSink:
    """A sink that refuses everything."""

    async def insert(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        raise PoisonError("rows_refused")


def letter(value: bytes = b"bad bytes", offset: int = 7) -> Message:
    origin = Message("otlp_spans", 3, 42, NOW_MS, b"k", value, (("h", b"v"),))
    dead = DeadLetter(
        origin, "operations", "otlp_undecodable", "OtlpError", value, "acme", trace(1), "", 1, 2
    )
    return Message(DEAD_LETTERS.name, 1, offset, NOW_MS, b"k", value, tuple(encode_headers(dead)))


def one(client: Client, sql: str, **parameters: Any) -> dict[str, Any]:
    result = client.query(sql, parameters=parameters)
    (row,) = result.result_rows
    return dict(zip(result.column_names, row, strict=True))


def tagged(call: Operation) -> Operation:
    """The operation with tags."""
    return call.model_copy(update={"call": call.call.model_copy(update={"tags": ("beta", "vip")})})


async def test_each_topic_fills_its_table(sink: ClickHouseSink, client: Client) -> None:
    store = stage(sink)
    documents = (Document(text="Paris is the capital.", id="d1", score=0.5),)
    content = said("Where?", "Paris.").model_copy(update={"documents": documents})
    transition = AlertTransition(
        tenant="default", transition_id="t", fingerprint="f", rule="R", rule_version="1",
        status="firing", labels={}, starts_at_ns=NOW_NS,
    )  # fmt: skip
    delivery = AlertDelivery(
        tenant="default", transition_id="t", receiver="hook", fingerprint="f", rule="R",
        status="firing", outcome="delivered", attempts=1, begun_at_ns=NOW_NS, ended_at_ns=NOW_NS,
        starts_at_ns=NOW_NS,
    )  # fmt: skip
    books = LedgerRow(
        tenant="default", stage="operations", topic="otlp_spans", partition=0, offset=1,
        timestamp_ms=NOW_MS, items_in=2, items_out=2, filtered=0, dead=0,
    )  # fmt: skip
    messages = [
        batch(OPERATIONS, tagged(operation(1, 1)), operation(1, 2)),
        batch(
            FRAGMENTS, fragment(1, 1, "f", content=content), fragment(1, 2, "g", content=Content())
        ),
        batch(EVALUATIONS, evaluation(1, 1)),
        batch(EMBEDDINGS, embedding(1)),
        batch(LEDGER, books),
        batch(ALERT_TRANSITIONS, transition),
        batch(ALERT_DELIVERIES, delivery),
        letter(),
    ]
    for message in messages * 2:
        await store.process(message)
    assert {message.topic for message in messages} == set(store.topics)
    counted = {
        name: one(client, f"SELECT count() AS n FROM {name} FINAL")["n"]  # noqa: S608
        for name in (
            "genai_operations", "genai_content", "genai_evaluations", "genai_ledger",
            "genai_alert_events", "genai_alert_deliveries", "genai_dead_letters",
            "genai_embeddings",
        )
    }  # fmt: skip
    assert counted == {
        "genai_operations": 2, "genai_content": 1, "genai_evaluations": 1, "genai_ledger": 1,
        "genai_alert_events": 1, "genai_alert_deliveries": 1, "genai_dead_letters": 1,
        "genai_embeddings": 1,
    }  # fmt: skip
    row = one(client, "SELECT * FROM genai_content FINAL")
    assert row["part_path"] == ["system/0", "input/0/0", "output/0/0", "document/0"]
    assert json.loads(row["documents"]) == [
        {"text": "Paris is the capital.", "id": "d1", "score": 0.5}
    ]
    assert json.loads(row["input_messages"])[0]["role"] == "user"
    stored = one(client, "SELECT * FROM v_calls WHERE span_id LIKE '%1'")
    assert stored["cost_usd"] == Decimal("0.0005")
    assert stored["tags"] == ["beta", "vip"]
    assert (stored["input_text"], stored["output_text"]) == ("Where?", "Paris.")


async def test_no_embedding_is_stored_where_texts_are_not(
    sink: ClickHouseSink, client: Client
) -> None:
    config = Config(privacy={"tenant_policies": {"mute": {"content": "drop"}}})
    store = StoreStage(config, MemoryOutputs(), SystemClock(), sink)
    await store.process(batch(EMBEDDINGS, embedding(1, tenant="mute"), embedding(2, tenant="loud")))
    asked = "SELECT tenant, vector FROM genai_embeddings FINAL WHERE tenant IN ('mute', 'loud')"
    assert one(client, asked) == {"tenant": "loud", "vector": [0.5, -0.25]}


async def test_bad_batch_is_poison(sink: ClickHouseSink) -> None:
    store = stage(sink)
    for value in (b"not json", b'{"records":[{"tenant":1}]}', b"", None):
        with pytest.raises(PoisonError, match="undecodable_batch"):
            await store.process(Message(OPERATIONS.name, 0, 0, NOW_MS, None, value))


async def test_letter_keeps_metadata_only(sink: ClickHouseSink, client: Client) -> None:
    value = b"other bad bytes"
    store = stage(sink)
    await store.process(letter(value, offset=8))
    await store.process(letter(value, offset=9))
    row = one(
        client,
        "SELECT * FROM v_dead_letters WHERE value_sha256 = {h:String}",
        h=hashlib.sha256(value).hexdigest(),
    )
    assert (row["stage"], row["reason"], row["tenant"]) == (
        "operations",
        "otlp_undecodable",
        "acme",
    )
    assert (row["origin_topic"], row["origin_partition"], row["origin_offset"]) == (
        "otlp_spans",
        3,
        42,
    )
    assert (row["letter_partition"], row["letter_offset"], row["items"]) == (1, 9, 2)
    assert row["value_bytes"] == len(value)
    assert "other bad bytes" not in str(row)


async def test_foreign_letter_still_gets_a_row(sink: ClickHouseSink, client: Client) -> None:
    await stage(sink).process(
        Message(DEAD_LETTERS.name, 2, 5, NOW_MS, None, None, (("x", b"\xff"),))
    )
    row = one(client, "SELECT * FROM v_dead_letters WHERE reason = 'unreadable_headers'")
    assert (row["origin_topic"], row["origin_offset"], row["tenant"]) == (
        DEAD_LETTERS.name,
        5,
        "default",
    )


async def test_letter_is_never_poison() -> None:
    await stage(RefusingSink()).process(letter())
    with pytest.raises(PoisonError):
        await stage(RefusingSink()).process(batch(OPERATIONS, operation(1, 1)))


async def test_absurd_values_cost_themselves_only(sink: ClickHouseSink, client: Client) -> None:
    given = call(
        start_ns=(1 << 64) - 1,
        end_ns=5,
        reported_cost_usd=Decimal("1e30"),
        usage={"input_tokens": -4, "output_tokens": 1 << 70},
        time_to_first_token_ns=-1,
    )
    await sink.insert("genai_operations", [operation_row(operation(90, 1, call=given, day="bad"))])
    row = one(client, "SELECT * FROM genai_operations WHERE trace_id = {t:String}", t=trace(90))
    assert (row["input_tokens"], row["reported_cost_usd"], row["duration_ns"]) == (None, None, 0)
    assert row["output_tokens"] == (1 << 63) - 1
    assert row["time_to_first_token_ns"] is None
    assert str(row["day"]) == "1970-01-01"


def test_fragment_without_content_has_no_row() -> None:
    assert content_row(fragment(1, 1, "f", content=Content())) is None


def test_rows_refuse_missing_and_unknown_columns() -> None:
    with pytest.raises(KeyError, match="checksum"):
        table("schema_migrations").row({"name": "x"})
    with pytest.raises(KeyError):
        table("schema_migrations").row({"name": "x", "other": 1})


class PickySink:
    """A sink that refuses rows of one span."""

    def __init__(self, bad: str) -> None:
        self.bad = bad
        self.taken: list[Sequence[object]] = []

    async def insert(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        if any(self.bad in row for row in rows):
            raise PoisonError("rows_refused")
        self.taken += rows


async def test_a_refused_row_costs_its_neighbours_nothing() -> None:
    bad = operation(1, 4)
    sink, outputs = PickySink(bad.span_id), MemoryOutputs()
    store = StoreStage(Config(), outputs, SystemClock(), sink)
    neighbours = batch(OPERATIONS, *(operation(1, number) for number in range(1, 8)))
    assert await store.process(neighbours) is None
    assert len(sink.taken) == 6
    (dead,) = outputs.letters
    assert (dead.reason, dead.span_id, dead.tenant) == ("rows_refused", bad.span_id, bad.tenant)
    assert dead.value == encode_batch([encode_record(bad)])
    whole = batch(OPERATIONS, bad, bad)
    with pytest.raises(PoisonError) as found:
        await store.process(whole)
    assert whole_letter(whole, "store", found.value, 1, "default").tenant == bad.tenant
    other = bad.model_copy(update={"tenant": "other"})
    assert await store.process(batch(OPERATIONS, bad, other)) == "dead"
    assert [dead.tenant for dead in outputs.letters[1:]] == [bad.tenant, "other"]


async def test_a_refused_row_of_progress_makes_no_message_poison() -> None:
    """It is ours, not the messages': the worker ends rather than dead-letter them."""
    sink, outputs, clock = RefusingSink(), MemoryOutputs(), FakeClock()
    store = StoreStage(Config(), outputs, clock, sink)
    source = MemorySource()
    source.add_batch(OPERATIONS.name, [operation(1, 1)])
    store.adopt(OPERATIONS.name, 0)
    await store.start()
    await clock.advance(IDLE_S + TELL_S)
    with pytest.raises(FatalStageError, match="progress cannot be told") as found:
        await store.process(source.pending((OPERATIONS.name,))[0])
    assert isinstance(found.value.__cause__, PoisonError)
    with pytest.raises(FatalStageError, match="progress cannot be told"):
        await feed(
            Pipeline(store, outputs, Config(), clock),
            source,
            source.pending((OPERATIONS.name,)),
            clock,
        )
    assert not outputs.letters
    assert not source.acked


async def test_an_unreadable_record_costs_its_neighbours_nothing() -> None:
    sink, outputs = PickySink("none"), MemoryOutputs()
    store = StoreStage(Config(), outputs, SystemClock(), sink)
    value = encode_batch([encode_record(operation(1, 1)), b'{"x":1}', b"3"])
    await store.process(Message(OPERATIONS.name, 0, 0, NOW_MS, None, value))
    assert len(sink.taken) == 1
    assert [dead.value for dead in outputs.letters] == [
        b'{"records":[{"x":1}]}', b'{"records":[3]}',
    ]  # fmt: skip
    for unreadable in (b'{"records":[{}]}', b"[]", b'{"records":3}', None):
        with pytest.raises(PoisonError, match="undecodable_batch"):
            await store.process(Message(OPERATIONS.name, 0, 0, NOW_MS, None, unreadable))
