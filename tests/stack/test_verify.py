"""The delivery oracle finds what is lost, doubled or invented: on plain tables that allow it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.config import Config
from schemas.rules import EvaluationCondition, SignalRule
from sql.client import connect
from sql.migrate import migrate
from stack.verify.alerts import check_alerts
from stack.verify.generator import plan
from stack.verify.journal import Journal, JournalWriter, SentSpan, read_journal
from stack.verify.oracle import EVALUATORS, check
from stack.verify.windows import check_windows

SERVICE = "oracle"
A, B, C = (SentSpan(f"{n:032x}", f"{n:016x}", call=True, content_hash="right") for n in (1, 2, 3))
TABLES = {
    "otel_traces": "TraceId String, SpanId String, ServiceName String",
    "v_calls": "trace_id String, span_id String, content_hash String, service_name String,"
    " flags Array(String)",
    "v_verdicts": "trace_id String, span_id String, evaluator String, service_name String,"
    " target String",
    "genai_dead_letters": "trace_id String, span_id String, stage String, error_class String,"
    " origin_topic String",
}
RULE = SignalRule(alert="Injected", evaluation=EvaluationCondition(evaluator="injection"))
BUCKET_AT = datetime(2026, 1, 1, 12, 5, tzinfo=UTC)


@pytest.fixture
def client(config: Config) -> Iterator[Client]:
    """A database with plain tables where the views would be."""
    admin = connect(config.clickhouse)
    admin.command("CREATE DATABASE oracle")
    for name, columns in TABLES.items():
        admin.command(f"CREATE TABLE oracle.{name} ({columns}) ENGINE = Memory")
    yield connect(config.clickhouse.model_copy(update={"database": "oracle"}))
    admin.command("DROP DATABASE oracle")


def store(client: Client, span: SentSpan, content_hash: str = "right", *flags: str) -> None:
    """Everything that belongs to one call."""
    client.insert("otel_traces", [[*span.key, SERVICE]])
    client.insert("v_calls", [[*span.key, content_hash, SERVICE, list(flags)]])
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


@pytest.mark.parametrize(
    ("stage", "error_class", "topic", "missing"),
    [
        ("operations", "RejectedItem", "otlp_spans", {"otel_traces", "v_calls", "v_verdicts"}),
        ("operations", "KeyError", "otlp_spans", {"v_calls", "v_verdicts"}),
        ("assemble", "PoisonError", "genai.fragments.v1", {"v_calls", "v_verdicts"}),
        ("store", "PoisonError", "genai.operations.v1", {"v_calls", "v_verdicts"}),
        ("store", "PoisonError", "genai.evaluations.v1", {"v_verdicts"}),
        ("evaluate", "PoisonError", "genai.operations.v1", {"v_verdicts"}),
        ("traces", "PoisonError", "otlp_spans", {"otel_traces"}),
    ],
)
def test_a_dead_letter_explains_what_its_stage_makes_and_no_more(
    client: Client, stage: str, error_class: str, topic: str, missing: set[str]
) -> None:
    store(client, A)
    client.insert("genai_dead_letters", [[*B.key, stage, error_class, topic]])
    report = check(client, journal(A, B), SERVICE)
    lost = {item.split("[")[0].split()[0] for item in report.lost}
    assert lost == {"otel_traces", "v_calls", "v_verdicts"} - missing
    assert report.dead == 1


def test_other_content_is_a_loss(client: Client) -> None:
    store(client, A, content_hash="other")
    assert check(client, journal(A), SERVICE).lost == [f"v_calls[content] {A.trace_id}/{A.span_id}"]


def test_content_that_the_redactor_withheld_is_told_apart(client: Client) -> None:
    store(client, A, "", "redaction_failed")
    report = check(client, journal(A), SERVICE)
    assert report.clean
    assert report.withheld == 1


def test_content_in_logs_is_due_once_they_got_success(client: Client) -> None:
    span = replace(A, in_logs=True)
    store(client, span, "")
    sent = Journal({span.key: span}, frozenset([span.key]))
    assert check(client, sent, SERVICE).clean
    logged = replace(sent, logged=frozenset([span.key]))
    assert check(client, logged, SERVICE).lost == [f"v_calls[content] {A.trace_id}/{A.span_id}"]


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


@pytest.fixture
def line(config: Config) -> Iterator[Client]:
    """A migrated database of its own."""
    mine = config.model_copy(
        update={"clickhouse": config.clickhouse.model_copy(update={"database": "verify_line"})}
    )
    migrate(mine)
    yield connect(mine.clickhouse)
    connect(config.clickhouse).command("DROP DATABASE verify_line")


def put(client: Client, name: str, **columns: object) -> None:
    """One row; columns that are not given have their defaults."""
    client.insert(name, [list(columns.values())], column_names=list(columns))


def verdict(client: Client, number: int, label: str, score: float) -> None:
    """A verdict on a call of its own."""
    put(
        client, "genai_evaluations",
        tenant="t", day=BUCKET_AT.date(), trace_id=f"{number:032x}", span_id=f"{number:016x}",
        evaluator="injection", model_version="m/1", target="operation", revision=1, state="ok",
        score=score, label=label, source="ours", mode="active", span_end=BUCKET_AT,
        service_name=SERVICE, kind="chat",
    )  # fmt: skip


def transition(client: Client, rule: str, status: str, number: int) -> None:
    """A transition of an alert of the service."""
    put(
        client, "genai_alert_events",
        tenant="t", transition_id=f"{rule} {status} {number}", day=BUCKET_AT.date(), revision=1,
        fingerprint=rule, rule=rule, rule_version="1", status=status,
        labels={"service_name": SERVICE}, annotations={}, starts_at=BUCKET_AT, count=1,
    )  # fmt: skip


def test_alerts_are_those_that_verdicts_call_for(line: Client) -> None:
    verdict(line, 1, "pass", 0.1)
    assert check_alerts(line, [RULE], SERVICE).lost == []
    verdict(line, 2, "page", 0.9)
    assert check_alerts(line, [RULE], SERVICE).lost == ["Injected"]
    transition(line, "Injected", "firing", 1)
    report = check_alerts(line, [RULE], SERVICE)
    assert (report.expected, report.lost, report.duplicates, report.phantoms) == (1, [], [], [])
    transition(line, "Injected", "firing", 2)
    transition(line, "Other", "resolved", 1)
    report = check_alerts(line, [RULE], SERVICE)
    assert report.duplicates == ["Injected Injected firing"]
    assert report.phantoms == ["Other Other resolved only"]
    unmet = RULE.model_copy(update={"evaluation": EvaluationCondition(evaluator="toxicity")})
    assert check_alerts(line, [unmet], SERVICE).phantoms[0] == "Injected Injected"


def test_windows_are_compared_with_a_recount(line: Client) -> None:
    verdict(line, 1, "pass", 0.25)
    verdict(line, 2, "page", 0.75)
    assert check_windows(line, SERVICE).unsealed == 1
    put(
        line, "genai_progress",
        stage="watch", topic="genai_evaluations", incarnation="1", partition=0, revision=1,
        offset=-1, end_time=BUCKET_AT + timedelta(minutes=5), idle_until=BUCKET_AT,
        read_until=BUCKET_AT,
    )  # fmt: skip
    assert len(check_windows(line, SERVICE).differ) == 1
    put(
        line, "genai_streams",
        tenant="t", stream_id="s", revision=1, family="verdicts", metric="score",
        evaluator="injection", model_version="m/1", dimensions="service",
        labels={"service_name": SERVICE}, edges="score/1", scope=1, first_seen=BUCKET_AT,
        last_seen=BUCKET_AT,
    )  # fmt: skip
    for revision, flagged in ((1, 0), (2, 1)):
        put(
            line, "genai_windows",
            tenant="t", bucket=BUCKET_AT, stream_id="s", day=BUCKET_AT.date(), revision=revision,
            family="verdicts", n=2, flagged=flagged, total=1.0, squares=0.625, hist=[],
            sketch={},
        )  # fmt: skip
        report = check_windows(line, SERVICE)
        assert report.compared == 1
        assert bool(report.differ) is (flagged != 1)
