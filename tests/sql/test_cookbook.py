"""Every query of the cookbook runs, on real rows, and says something."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import content_row, evaluation_row, ledger_row, operation_row
from processors.traces import TracesStage
from schemas.config import Config
from schemas.evaluators import Evaluator, Label
from schemas.protocols import Message
from schemas.records import LedgerRow
from sql import migrate
from tests.sql.records import NOW_NS, evaluation, fragment, operation, trace
from tests.store.otlp import request, span_of

QUERIES = sorted((Path(migrate.__file__).parent / "queries").glob("*.sql"))


@pytest.fixture
async def filled(sink: ClickHouseSink, migrated: Config) -> None:
    """One flagged call with everything around it."""
    await sink.insert("genai_operations", [operation_row(operation(1, 1))])
    row = content_row(fragment(1, 1, "f"))
    assert row is not None
    await sink.insert("genai_content", [row])
    verdicts = [
        evaluation(1, 1, evaluator=name, label=Label.PAGE, score=0.97, target=target)
        for name in Evaluator
        for target in ("operation", "input")
    ]
    await sink.insert("genai_evaluations", [evaluation_row(verdict) for verdict in verdicts])
    books = LedgerRow(
        tenant="default", stage="operations", topic="otlp_spans", partition=0, offset=0,
        timestamp_ms=NOW_NS // 1_000_000, items_in=1, items_out=1, filtered=0, dead=0,
    )  # fmt: skip
    await sink.insert("genai_ledger", [ledger_row(books)])
    stage = TracesStage(migrated, MemoryOutputs(), SystemClock(), sink)
    value = request([span_of(1, 1, start_ns=NOW_NS)]).SerializeToString()
    await stage.process(Message("otlp_spans", 0, 0, NOW_NS // 1_000_000, None, value))


async def test_every_query_answers(filled: None, client: Client) -> None:
    assert len(QUERIES) == 10
    now = datetime.now(UTC).replace(tzinfo=None)
    parameters = {
        "from": now - timedelta(days=1),
        "to": now + timedelta(minutes=1),
        "trace_id": trace(1),
    }
    for path in QUERIES:
        text = path.read_text()
        question = text.splitlines()[0]
        assert question.startswith("-- ")
        assert question.endswith("?"), path.name
        assert "\n-- Meaning: " in text, path.name
        assert "\n-- n: " in text, path.name
        used = {name: value for name, value in parameters.items() if f"{{{name}:" in text}
        assert client.query(text, parameters=used).result_rows, path.name
