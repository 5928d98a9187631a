"""A migrated database with a row for every panel."""

import asyncio
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import (
    alert_row,
    content_row,
    dead_letter_row,
    evaluation_row,
    ledger_row,
    operation_row,
)
from processors.traces import TracesStage
from schemas.alert_records import AlertTransition
from schemas.config import Config
from schemas.dead_letters import encode_headers
from schemas.evaluators import Evaluator, Label, State
from schemas.identity import stream_id
from schemas.protocols import DeadLetter, Message
from schemas.records import Explanation, LedgerRow, Usage
from sql.client import connect
from sql.drift import utc
from sql.tables import table
from tests.sql.conftest import migrated
from tests.sql.records import NOW_NS, START_NS, call, evaluation, fragment, operation, trace
from tests.store.otlp import request, span_of

__all__ = ["migrated"]


@pytest.fixture(scope="module")
def filled(migrated: Config) -> Config:
    """Three calls (one flagged, one failed, one that nobody can price) and all around them."""
    asyncio.run(_fill(migrated))
    return migrated


@pytest.fixture(scope="module")
def reader(filled: Config) -> Iterator[Client]:
    """A client of that database."""
    client = connect(filled.clickhouse)
    yield client
    client.close()


async def _fill_drift(sink: ClickHouseSink) -> None:
    """A stream of each service whose error rate drifts."""
    bucket_s = NOW_NS // 1_000_000_000 // 300 * 300
    for service in ("shop", "search"):
        labels = {"service_name": service, "environment": "prod"}
        named = stream_id("default", "calls", "errors", ("", ""), "service", labels)
        bucket = utc(bucket_s)
        stream = {
            "tenant": "default", "stream_id": named, "revision": bucket_s, "family": "calls",
            "metric": "errors", "evaluator": "", "model_version": "", "dimensions": "service",
            "labels": labels, "edges": "yes_no/1", "scope": 1, "first_seen": bucket,
            "last_seen": bucket,
        }  # fmt: skip
        verdict = {
            "tenant": "default", "stream_id": named, "detector": "rate", "detector_version": "1",
            "bucket": bucket, "day": bucket.date(), "revision": 1, "state": "drift",
            "severity": "page", "baseline": "seasonal", "baseline_version": 1, "n": 100,
            "baseline_n": 1000, "evidence": 0.5, "p_value": None, "effect": 2.0, "effect_low": 1.5,
            "effect_high": 2.5, "statistics": {}, "explanation": "", "since": bucket,
            "fired_at": bucket, "explained": "4% instead of the usual 2%",
        }  # fmt: skip
        await sink.insert("genai_streams", [table("genai_streams").row(stream)])
        await sink.insert("genai_drift", [table("genai_drift").row(verdict)])


async def _fill(config: Config) -> None:
    sink = ClickHouseSink(config, SystemClock())
    calls = [
        operation(1, 1, call=call(time_to_first_token_ns=200_000_000, finish_reasons=("stop",))),
        operation(2, 1, call=call(status="error", error_type="timeout", service_name="search")),
        operation(
            3,
            1,
            call=call(
                response_model="in-house-7b",
                cost_usd=None,
                price_version="",
                usage=Usage(input_tokens=50, cache_read_tokens=50, output_tokens=10),
            ),
        ),
    ]
    await sink.insert("genai_operations", [operation_row(record) for record in calls])
    row = content_row(fragment(1, 1, "f"))
    assert row is not None
    await sink.insert("genai_content", [row])
    verdicts = [
        evaluation(
            1, 1, evaluator=name, label=Label.PAGE, score=0.97, target=target,
            explanation=Explanation(part="input/0/0", entities=("email",)),
        )
        for name in Evaluator
        for target in ("operation", "input")
    ]  # fmt: skip
    verdicts.append(evaluation(3, 1, score=0.02))
    verdicts.append(
        evaluation(
            1, 1, evaluator="helpfulness", source="external", score=None, model_version="",
            reported_score=4.5, reported_label="helpful",
        )
    )  # fmt: skip
    verdicts.append(evaluation(2, 1, state=State.NOT_APPLICABLE, reason="no_content"))
    await sink.insert("genai_evaluations", [evaluation_row(verdict) for verdict in verdicts])
    books = LedgerRow(
        tenant="default", stage="operations", topic="otlp_spans", partition=0, offset=0,
        timestamp_ms=NOW_NS // 1_000_000, items_in=3, items_out=3, filtered=0, dead=0,
    )  # fmt: skip
    await sink.insert("genai_ledger", [ledger_row(books)])
    alert = AlertTransition(
        tenant="default", transition_id="t", fingerprint="f", rule="InjectionPage",
        rule_version="1", status="firing", labels={"service_name": "shop"}, starts_at_ns=START_NS,
        value=0.97, count=2, trace_ids=(trace(1),),
    )  # fmt: skip
    await sink.insert("genai_alert_events", [alert_row(alert)])
    raw = Message("otlp_spans", 0, 1, NOW_NS // 1_000_000, None, b"not a request")
    letter = DeadLetter(
        stage="operations", reason="undecodable", error_class="DecodeError", origin=raw,
        tenant="default", value=b"not a request",
    )  # fmt: skip
    await _fill_drift(sink)
    dead = Message(
        "genai.dead_letters.v1", 0, 0, NOW_NS // 1_000_000, None, letter.value,
        tuple(encode_headers(letter)),
    )  # fmt: skip
    await sink.insert("genai_dead_letters", [dead_letter_row(dead, "default")])
    stage = TracesStage(config, MemoryOutputs(), SystemClock(), sink)
    value = request([span_of(1, 1, start_ns=START_NS)]).SerializeToString()
    await stage.process(Message("otlp_spans", 0, 0, NOW_NS // 1_000_000, None, value))
    await asyncio.wait_for(sink.close(), 10)
