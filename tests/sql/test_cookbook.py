"""Every query of the cookbook answers on rows that the line itself produced, once a row."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.prices.table import PriceTable
from processors.runtime.clock import SystemClock
from processors.watch.windows.cycle import WindowWriter
from schemas.config import Config
from schemas.prices import PriceFile
from sql.client import connect
from sql.dictionary import GROUPS, QUERIES, Query, queries, views
from sql.tables import table, tables
from sql.windows import END, bucket_of
from stack.reprice import Range, reprice
from tests.sql.line import run_line
from tests.sql.records import feedback

LABELLED_SQL = """
SELECT trace_id, span_id, flagged FROM v_verdicts
WHERE evaluator = 'injection' AND target = 'operation' AND state = 'ok'
ORDER BY flagged DESC, trace_id, span_id
LIMIT 1 BY flagged, trace_id LIMIT 12
"""
RATES = ("rate", "share", "agree", "precise", "found", "coverage_rate", "captured", "usage_known")
"""Columns that are shares, wherever they stand."""
OWN_PRICES = PriceFile.model_validate(
    {"prices": [{"model": "*", "usd_per_million": {"input": 1, "output": 2}}]}
)
NOW = datetime.now(UTC)
LAST_DAY = Range(NOW - timedelta(days=1), NOW + timedelta(days=1))
PASSING = {"seconds_since_insert", "seconds_open", "inserted_at", "example"}
"""Columns that time or the order of rows changes."""


async def fill(config: Config) -> None:
    """The line's rows."""
    sink = ClickHouseSink(config, SystemClock())
    try:
        await run_line(config, sink)
    finally:
        await sink.close()


def write_windows(config: Config, client: Client) -> None:
    """The windows of these rows, which are too new to be sealed, and the same two days before."""
    writer = WindowWriter(config)
    for source, end in END.items():
        times = f"SELECT DISTINCT toUnixTimestamp({end}) FROM {source} WHERE day >= today() - 1"  # noqa: S608
        buckets = {bucket_of(time_s) for (time_s,) in client.query(times).result_rows}
        for bucket in sorted(buckets):
            writer._write(client, source, [bucket])
    columns = ", ".join(table("genai_windows").columns)
    shifted = columns.replace("bucket", "bucket - 172800", 1).replace(" day", " day - 2", 1)
    client.command(f"INSERT INTO genai_windows ({columns}) SELECT {shifted} FROM genai_windows")  # noqa: S608


@pytest.fixture(scope="module")
def filled(migrated: Config, client: Client) -> None:
    """A database that the line has filled, with labels on twelve of its verdicts."""
    asyncio.run(fill(migrated))
    write_windows(migrated, client)
    labels = [
        feedback(
            f"label-{number}",
            trace_id=trace_id,
            span_id=span_id,
            label="incorrect" if number % 5 == 4 else "correct",
            value=float(number % 2),
        )
        for number, (trace_id, span_id, _) in enumerate(client.query(LABELLED_SQL).result_rows)
    ]
    assert len(labels) == 12
    reader = connect(migrated.clickhouse)
    assert reprice(reader, client, PriceTable(OWN_PRICES), LAST_DAY).changed
    reader.close()
    client.insert("genai_feedback", labels, column_names=table("genai_feedback").columns)


@pytest.fixture(scope="module")
def parameters(filled: None, client: Client) -> dict[str, Any]:
    """A value for every parameter the cookbook takes."""
    now = datetime.now(UTC).replace(tzinfo=None)
    ((trace_id, conversation_id),) = client.query(
        "SELECT trace_id, conversation_id FROM v_calls "
        "WHERE flagged AND conversation_id != '' ORDER BY start_time LIMIT 1"
    ).result_rows
    ((day, provider, model, usd),) = client.query(
        "SELECT day, provider, model, sum(cost_usd) FROM v_cost WHERE priced_calls > 0 "
        "GROUP BY ALL ORDER BY ALL LIMIT 1"
    ).result_rows
    return {
        "invoice": f"[('{day}','{provider}','{model}',{usd}),('{day}','{provider}','-',1)]",
        "from": now - timedelta(days=1),
        "to": now + timedelta(minutes=1),
        "trace_id": trace_id,
        "conversation_id": conversation_id,
    }


def ask(client: Client, parameters: dict[str, Any], query: Query) -> list[dict[str, Any]]:
    """A query's rows, with the parameters that it takes."""
    given = {name: value for name, value in parameters.items() if f"{{{name}:" in query.text}
    return [dict(row) for row in client.query(query.text, parameters=given).named_results()]


@pytest.mark.parametrize("name", sorted(path.name for path in QUERIES.glob("*.sql")))
def test_query_answers_on_the_lines_rows(
    name: str, client: Client, parameters: dict[str, Any]
) -> None:
    rows = ask(client, parameters, queries()[name])
    assert rows
    assert max(Counter(map(repr, rows)).values()) == 1, "a row stands there twice"
    for row in rows:
        for column, value in row.items():
            if value is not None and (column in RATES or column.endswith(("_rate", "_share"))):
                assert 0 <= value <= 1, column


def test_every_question_has_a_group_and_every_group_questions() -> None:
    assert len(queries()) >= 30
    assert Counter(query.group for query in queries().values()).keys() == set(GROUPS)
    for query in queries().values():
        assert bool(query.parameters) == ("{" in query.text), query.file


def test_no_answer_or_view_changes_when_every_row_comes_again(
    client: Client, parameters: dict[str, Any]
) -> None:
    """Repeated deliveries and late rows of older revisions: inserted again, never counted again."""

    def answers() -> dict[str, list[dict[str, Any]]]:
        found = {}
        for name, query in queries().items():
            rows = ask(client, parameters, query)
            found[name] = [{k: v for k, v in row.items() if k not in PASSING} for row in rows]
        for name in views():
            counted = client.query(f"SELECT count() AS rows FROM {name}")  # noqa: S608
            found[name] = list(counted.named_results())
        return found

    before = answers()
    for name in tables():
        columns = ", ".join(f"`{column}`" for column in table(name).columns)
        client.command(f"SYSTEM STOP MERGES {name}")
        client.command(
            f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} "  # noqa: S608
            "SETTINGS insert_deduplicate = 0"
        )
    ((again, once),) = client.query(
        "SELECT (SELECT count() FROM genai_evaluations), "
        "(SELECT count() FROM genai_evaluations FINAL)"
    ).result_rows
    assert again >= 2 * once > 0
    after = answers()
    for name, rows in before.items():
        assert [row.keys() for row in after[name]] == [row.keys() for row in rows], name
        for row, again_row in zip(rows, after[name], strict=True):
            for column, value in row.items():
                # A mean's last digits depend on the order in which rows are read.
                expected = pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
                assert again_row[column] == expected, f"{name}: {column}"
