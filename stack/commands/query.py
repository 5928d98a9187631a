"""Commands for analysts and on-call: what ClickHouse holds."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stack.commands.common import app, console, errors, load_config, one_line_errors

FORMATS = ("table", "json", "csv", "parquet")
TABLE_ROWS = 1000


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="a SELECT over the views; - reads it from stdin")
    ] = "",
    file: Annotated[Path | None, typer.Option(help="read the query from this file")] = None,
    format: Annotated[
        str, typer.Option(help=f"one of {', '.join(FORMATS)}; json is one object a line")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write to this file, not to the screen")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="NAME=VALUE of a {NAME:Type} in the query; repeatable"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help=f"most rows; 0 is all (tables: {TABLE_ROWS}, else all)")
    ] = None,
) -> None:
    """Run one read-only query and show its rows, or write them to a file."""
    from sql.client import connect
    from stack.sql_output import run, write_parquet, write_rows

    with one_line_errors("sql"):
        text = _query_text(query, file)
        parameters = dict(_named(item) for item in param or ())
        if format not in FORMATS:
            raise ValueError(f"--format: one of {', '.join(FORMATS)}")
        if format == "parquet" and output is None:
            raise ValueError("--format parquet needs --output FILE")
        if format == "table" and output is not None:
            raise ValueError("--output needs --format json, csv or parquet")
        client = connect(load_config().clickhouse)
        if format == "parquet" and output is not None:
            write_parquet(client, text, parameters, output)
            errors.print(f"{output}: {output.stat().st_size:,} bytes", highlight=False)
            return
        most = (TABLE_ROWS if format == "table" else 0) if limit is None else limit
        columns, rows, cut = run(client, text, parameters, most)
        if format == "table":
            table = Table(*columns)
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row))
            console.print(table)
            console.print(f"{len(rows)} rows{', more were left out (--limit)' if cut else ''}")
            return
        if output is None:
            write_rows(format, columns, rows, sys.stdout)
        else:
            with output.open("w", encoding="utf-8", newline="") as out:
                write_rows(format, columns, rows, out)
            errors.print(f"{output}: {len(rows):,} rows", highlight=False)
        if cut:
            errors.print(f"sql: more than {most} rows; the rest was left out (--limit)")


def _query_text(query: str, file: Path | None) -> str:
    if bool(query) == (file is not None):
        raise ValueError("give a query, or --file, or - for stdin")
    if file is not None:
        return file.read_text()
    return sys.stdin.read() if query == "-" else query


def _named(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise ValueError(f"--param {item}: NAME=VALUE is needed")
    return name, value


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex characters", show_default=False)],
    tenant: Annotated[str, typer.Option(help="of this tenant alone")] = "",
    json: Annotated[bool, typer.Option("--json", help="spans as JSON lines")] = False,
) -> None:
    """Draw a trace as a tree: spans, durations, tokens, cost, verdicts. Exit 1 if it is unknown."""
    from sql.client import connect
    from stack.span_tree import draw, read_trace
    from stack.sql_output import write_rows

    with one_line_errors("trace"):
        wanted = trace_id.strip().lower().replace("-", "")
        spans = read_trace(connect(load_config().clickhouse), wanted, tenant)
        if not spans:
            raise ValueError(f"no trace {wanted}: not stored yet, expired, or another tenant's")
    if json:
        write_rows("json", list(spans[0]), [list(span.values()) for span in spans], sys.stdout)
    else:
        console.print(draw(wanted, spans))
