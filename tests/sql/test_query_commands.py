"""``streamgauge sql`` and ``streamgauge trace`` on rows in the real engine."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from rich.console import Console
from typer.testing import CliRunner

from processors.clickhouse import ClickHouseSink
from processors.store.rows import evaluation_row, operation_row
from schemas.config import Config
from schemas.evaluators import Label
from schemas.identity import NS_PER_MS
from sql.tables import table
from stack.cli import app
from stack.span_tree import draw, roots
from stack.sql_output import Rows, layout
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


def test_what_is_no_number_nanoseconds_and_maps_keep_their_value(tmp_path: Path) -> None:
    query = (
        "SELECT nan AS n, -inf AS i, toDateTime64('2026-01-02 03:04:05.123456789', 9, 'UTC') AS t,"
        " map('a', 1) AS m, toDecimal64('0.10', 2) AS d;"
    )
    printed, status = invoke("sql", query, "--format", "json")
    assert (status, json.loads(printed)) == (0, {
        "n": "nan", "i": "-inf", "t": "2026-01-02T03:04:05.123456789Z", "m": {"a": 1},
        "d": "0.1",
    })  # fmt: skip
    printed, _ = invoke("sql", query, "--format", "csv")
    assert list(csv.reader(io.StringIO(printed)))[1][:4] == [
        "nan", "-inf", "2026-01-02T03:04:05.123456789Z", "{'a':1}",
    ]  # fmt: skip
    assert "2026-01-02T03:04:05.123456789Z" in invoke("sql", query)[0]
    for kind in ("json", "csv", "parquet"):
        few, same = tmp_path / f"few.{kind}", tmp_path / f"same.{kind}"
        invoke("sql", NUMBERS, "--format", kind, "--output", str(few), "--limit", "2")
        invoke("sql", f"{NUMBERS} LIMIT 2", "--format", kind, "--output", str(same))
        assert few.read_bytes() == same.read_bytes(), kind


def test_a_query_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    query = "SELECT throwIf(number = 100000) FROM numbers(200000)"
    printed, status = invoke("sql", query, "--format", "csv", "-o", str(tmp_path / "x.csv"))
    assert (status, "sql:" in printed) == (1, True)
    assert list(tmp_path.glob("*x.csv*")) == []


def test_cells_are_text_whatever_they_hold() -> None:
    printed, status = invoke("sql", "SELECT '[/INST] hi [red]x[/red]' AS `[/b]`, '\\x1b[2J', NULL")
    assert status == 0
    assert "[/INST] hi [red]x[/red]" in printed
    assert "[/b]" in printed
    assert "\x1b" not in printed


def test_nothing_is_cut_in_a_pipe_and_many_columns_go_below_each_other() -> None:
    row = ", ".join(f"repeat('{number % 10}', 40) AS c{number}" for number in range(30))
    printed, _ = invoke("sql", f"SELECT {row}")
    assert all(str(number) * 40 in printed for number in range(10))
    assert "…" not in printed
    printed, _ = invoke("sql", f"SELECT {row}", "--vertical")
    assert f"c7   {'7' * 40}" in printed


def shown(found: Rows, width: int) -> str:
    """What a terminal of that width shows."""
    screen = Console(width=width, file=io.StringIO(), force_terminal=True, no_color=True)
    screen.print(layout(found, width, vertical=False))
    return str(screen.file.getvalue())  # type: ignore[attr-defined]


def test_a_terminal_folds_and_cuts_nothing() -> None:
    ids = ["a" * 32, "b" * 32]
    printed = shown(Rows(["trace_id", "other"], [ids], cut=False), 40)
    assert printed.count("a") - 1 >= 32
    assert "…" not in printed
    printed = shown(Rows(list("vwxyz"), [ids[:1] * 5], cut=False), 40)
    assert "-- row 1" in printed
    assert printed.count("a" * 32) == 5


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
        (["sql", "SELECT 1 FORMAT JSON"], "leave FORMAT out"),
        (["sql", "SELECT 1 FORMAT JSON", "--format", "csv"], "leave FORMAT out"),
        (["trace", "00", "--json"], "no trace 00"),
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


def span_row(
    number: int, parent: int, name: str, after_ms: int, tenant: str = "default"
) -> tuple[object, ...]:
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
        "tenant": tenant, "TraceId": TRACE, "SpanId": span(number), "SpanName": name,
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
    await put(sink, "otel_spans", span_row(1, 0, "theirs", 0, tenant="other"))
    printed, _ = invoke("trace", TRACE)
    assert f"trace {TRACE} of tenant default" in printed
    assert f"trace {TRACE} of tenant other" in printed
    printed, _ = invoke("trace", TRACE, "--tenant", "other")
    assert ("theirs" in printed, "of tenant" in printed, "POST" in printed) == (True, False, False)
    printed, _ = invoke("trace", TRACE, "--limit", "2")
    assert "2 more spans were left out (--limit)" in printed


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


def spans_of(number: int, parent: Callable[[int], int]) -> list[dict[str, Any]]:
    """Spans as the view has them, each below the one that ``parent`` names."""
    start = datetime(2026, 1, 2, tzinfo=UTC)
    return [
        {
            "tenant": "t", "span_id": str(i), "parent_span_id": str(parent(i)), "start_time": start,
            "duration_ns": 1, "service_name": "shop", "span_name": f"n{i}", "status_code": "Ok",
            "kind": "", "verdicts": [],
        }
        for i in range(number)
    ]  # fmt: skip


def test_a_chain_and_a_wide_trace_of_100_000_spans() -> None:
    for parent in (lambda i: i - 1, lambda i: (i - 1) // 3, lambda _: 0):
        lines = [line.plain for line in draw("t", spans_of(100_000, parent))]
        assert len(lines) == 100_001
        assert max(map(len, lines)) < 300
    few = [line.plain for line in draw("t", spans_of(100_000, lambda i: i - 1), 1000)]
    assert (len(few), few[-1]) == (1002, "99,000 more spans were left out (--limit)")


@pytest.mark.parametrize("kind", ["table", "json", "csv"])
def test_without_a_token_no_setting_is_asked_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMGAUGE_CLICKHOUSE__TOKEN")
    printed, status = invoke("sql", NUMBERS, "--format", kind)
    assert (status, "2026-01-02" in printed) == (0, True), printed
    assert invoke("trace", "00")[0].startswith("trace: no trace 00")
