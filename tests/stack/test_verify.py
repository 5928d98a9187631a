"""The delivery oracle finds what is lost, doubled or invented: on plain tables that allow it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.config import Config
from sql.client import connect
from stack.verify.generator import plan
from stack.verify.journal import Journal, JournalWriter, SentSpan, read_journal
from stack.verify.oracle import EVALUATORS, check

SERVICE = "oracle"
A, B, C = (SentSpan(f"{n:032x}", f"{n:016x}", call=True, content_hash="right") for n in (1, 2, 3))
TABLES = {
    "otel_traces": "TraceId String, SpanId String, ServiceName String",
    "v_calls": "trace_id String, span_id String, content_hash String, service_name String",
    "v_verdicts": "trace_id String, span_id String, evaluator String, service_name String,"
    " target String",
    "genai_dead_letters": "trace_id String, span_id String",
}


@pytest.fixture
def client(config: Config) -> Iterator[Client]:
    """A database with plain tables where the views would be."""
    admin = connect(config.clickhouse)
    admin.command("CREATE DATABASE oracle")
    for name, columns in TABLES.items():
        admin.command(f"CREATE TABLE oracle.{name} ({columns}) ENGINE = Memory")
    yield connect(config.clickhouse.model_copy(update={"database": "oracle"}))
    admin.command("DROP DATABASE oracle")


def store(client: Client, span: SentSpan, content_hash: str = "right") -> None:
    """Everything that belongs to one call."""
    client.insert("otel_traces", [[*span.key, SERVICE]])
    client.insert("v_calls", [[*span.key, content_hash, SERVICE]])
    client.insert("v_verdicts", [[*span.key, name, SERVICE, "operation"] for name in EVALUATORS])


def journal(*acked: SentSpan) -> Journal:
    """A and B were sent; some got success."""
    return Journal({span.key: span for span in (A, B)}, frozenset(span.key for span in acked))


def test_all_there(client: Client) -> None:
    store(client, A)
    assert check(client, journal(A), SERVICE).clean


def test_sent_without_success_may_be_there_or_not(client: Client) -> None:
    store(client, A)
    store(client, B)
    assert check(client, journal(A), SERVICE).clean


def test_lost_in_every_place(client: Client) -> None:
    store(client, A)
    report = check(client, journal(A, B), SERVICE)
    assert len(report.lost) == 2 + len(EVALUATORS)
    assert all(f"{B.trace_id}/{B.span_id}" in item for item in report.lost)


def test_a_dead_letter_is_not_a_loss(client: Client) -> None:
    store(client, A)
    client.insert("genai_dead_letters", [list(B.key)])
    report = check(client, journal(A, B), SERVICE)
    assert (report.clean, report.dead) == (True, 1)


def test_other_content_is_a_loss(client: Client) -> None:
    store(client, A, content_hash="other")
    assert check(client, journal(A), SERVICE).lost == [f"v_calls[content] {A.trace_id}/{A.span_id}"]


def test_twice_and_never_sent(client: Client) -> None:
    store(client, A)
    store(client, A)
    store(client, C)
    report = check(client, journal(A), SERVICE)
    assert len(report.duplicates) == len(report.phantoms) == 2 + len(EVALUATORS)
    assert report.lost == []


def test_the_journal_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalWriter(path) as writer:
        writer.sent([A, B])
        writer.acked([A.key])
    with path.open("ab") as file:
        file.write(b'{"acked": [["')
    assert read_journal(path) == journal(A)


def test_a_seed_plans_the_same_traffic() -> None:
    first, again = plan("s", 20, 10, seed=5), plan("s", 20, 10, seed=5)
    assert [p.spans for p in first] == [p.spans for p in again]
    assert [p.spans for p in first] != [p.spans for p in plan("s", 20, 10, seed=6)]
