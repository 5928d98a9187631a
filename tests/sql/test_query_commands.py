"""``streamgauge sql`` and ``streamgauge trace`` on rows in the real engine."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from processors.clickhouse import ClickHouseSink
from processors.store.rows import evaluation_row, operation_row
from schemas.config import Config
from schemas.evaluators import Label
from schemas.identity import NS_PER_MS
from sql.tables import table
from stack.cli import app
from stack.span_tree import roots
from tests.sql.records import START_NS, call, evaluation, operation, span, trace
from tests.sql.test_views import put

TRACE = trace(900)


@pytest.fixture(autouse=True)
def pointed(migrated: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands read this database."""
    monkeypatch.chdir(tmp_path)
    settings = migrated.clickhouse
    for name, value in (
        ("URL", settings.url),
        ("TOKEN", settings.token.get_secret_value()),
        ("DATABASE", settings.database),
    ):
        monkeypatch.setenv(f"STREAMGAUGE_CLICKHOUSE__{name}", value)
    monkeypatch.setenv("COLUMNS", "200")


def invoke(*arguments: str, stdin: str = "") -> tuple[str, int]:
    """What the command printed, and its exit status."""
    result = CliRunner().invoke(app, [*arguments], input=stdin)
    return result.output, result.exit_code


NUMBERS = "SELECT number AS n, 'a,b' AS text, toDate('2026-01-02') AS day FROM numbers(3)"


def test_a_table_and_its_row_count() -> None:
    printed, status = invoke("sql", NUMBERS)
    assert status == 0
    assert "2026-01-02" in printed
    assert "3 rows" in printed
    cut, _ = invoke("sql", NUMBERS, "--limit", "2")
    assert "2 rows, more were left out" in cut


def test_rows_as_json_and_csv() -> None:
    printed, _ = invoke("sql", NUMBERS, "--format", "json")
    assert next(json.loads(line) for line in printed.splitlines()) == {
        "n": 0,
        "text": "a,b",
        "day": "2026-01-02",
    }
    printed, _ = invoke("sql", NUMBERS, "--format", "csv")
    assert list(csv.reader(io.StringIO(printed)))[:2] == [
        ["n", "text", "day"],
        ["0", "a,b", "2026-01-02"],
    ]


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_files(kind: str, tmp_path: Path, client: Client) -> None:
    path = tmp_path / f"rows.{kind}"
    printed, status = invoke("sql", NUMBERS, "--format", kind, "--output", str(path))
    assert (status, path.name in printed.replace("\n", "")) == (0, True)
    value = path.read_bytes()
    if kind == "parquet":
        assert value[:4] == value[-4:] == b"PAR1"
        assert b"a,b" in value
    else:
        assert value.count(b"a,b") == 3


def test_queries_from_file_and_stdin_with_parameters(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("SELECT {word:String} AS said")
    assert "hello" in invoke("sql", "--file", "q.sql", "-p", "word=hello")[0]
    assert "hello" in invoke("sql", "-", "-p", "word=hello", stdin="SELECT {word:String}")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sql"], "give a query"),
        (["sql", "SELECT 1", "--file", "x"], "give a query"),
        (["sql", "SELECT 1", "--format", "xml"], "--format"),
        (["sql", "SELECT 1", "--format", "parquet"], "--output"),
        (["sql", "SELECT 1", "-o", "x"], "--output"),
        (["sql", "SELECT 1", "-p", "x"], "NAME=VALUE"),
        (["sql", "SELECT nope"], "nope"),
        (["sql", "CREATE TABLE t (a Int8) ENGINE = Memory"], "sql:"),
        (["sql", "--file", "gone.sql"], "gone.sql"),
        (["trace", "00"], "no trace 00"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(arguments: list[str], said: str) -> None:
    printed, status = invoke(*arguments)
    assert status == 1
    assert said in printed
    assert "Traceback" not in printed


def span_row(number: int, parent: int, name: str, after_ms: int) -> tuple[object, ...]:
    """A stored span."""
    stored = table("otel_spans")
    empty: dict[str, Any] = {}
    for column in stored.declared:
        if not column.given:
            continue
        kind = column.type
        empty[column.name] = (
            {} if kind.startswith("Map") else [] if kind.startswith("Array") else
            0 if "Int" in kind or "Date" in kind else False if kind == "Bool" else ""
        )  # fmt: skip
    told = {
        "tenant": "default", "TraceId": TRACE, "SpanId": span(number), "SpanName": name,
        "ParentSpanId": span(parent) if parent else "", "ServiceName": "shop",
        "Timestamp": START_NS + after_ms * NS_PER_MS, "Duration": 1_500_000,
        "StatusCode": "Unset",
    }  # fmt: skip
    return stored.row(empty | told)


async def test_a_trace_is_a_tree_with_verdicts(sink: ClickHouseSink) -> None:
    rows = (
        span_row(1, 0, "POST /chat", 0),
        span_row(2, 1, "chat gpt-4o", 20),
        span_row(3, 9, "orphan [b]", 40),
    )
    await put(sink, "otel_spans", *rows)
    await put(sink, "genai_operations", operation_row(operation(900, 2, call=call())))
    flagged = evaluation(900, 2, label=Label.PAGE, score=0.97)
    await put(sink, "genai_evaluations", evaluation_row(flagged))
    printed, status = invoke("trace", TRACE)
    assert status == 0
    lines = [line.strip("│ ├└─") for line in printed.splitlines()]
    assert lines[0].startswith(f"trace {TRACE}")
    assert "3 spans" in lines[0]
    assert lines[1].startswith("POST /chat  +0 ms  1.5 ms")
    assert lines[2].startswith("chat gpt-4o  +20 ms")
    assert "chat gpt-4o-2024  100 → 20 tokens  $0.0005" in lines[2]
    assert "injection page 0.97" in lines[3]
    assert lines[4].startswith("orphan [b]")
    assert printed.index("POST /chat") < printed.index("chat gpt-4o  ")
    as_json, _ = invoke("trace", TRACE.upper(), "--json")
    assert [json.loads(line)["span_id"] for line in as_json.splitlines()] == [
        span(1), span(2), span(3),
    ]  # fmt: skip
    assert invoke("trace", TRACE, "--tenant", "other")[1] == 1


def test_spans_in_a_circle_are_all_shown() -> None:
    spans = [
        {"tenant": "t", "span_id": "a", "parent_span_id": "b"},
        {"tenant": "t", "span_id": "b", "parent_span_id": "a"},
        {"tenant": "t", "span_id": "c", "parent_span_id": "c"},
        {"tenant": "t", "span_id": "d", "parent_span_id": "a"},
    ]
    found = roots(spans)
    stack, seen = list(found), []
    while stack:
        node = stack.pop()
        seen.append(node.span["span_id"])
        stack += node.below
    assert sorted(seen) == ["a", "b", "c", "d"]
