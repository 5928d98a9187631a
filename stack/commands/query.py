"""Commands for analysts and on-call: what ClickHouse holds."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands.common import (
    app,
    errors,
    one_line_errors,
    people_config,
    print_whole,
    screen_width,
)

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

FORMATS = ("table", "json", "csv", "parquet")
TABLE_ROWS = 1000
TRACE_SPANS = 1000


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
    vertical: Annotated[
        bool, typer.Option("--vertical", help="columns of a row below each other, not in a table")
    ] = False,
) -> None:
    """Run one read-only query and show its rows, or write them to a file."""
    from sql.client import connect
    from stack.sql_output import layout, read

    with one_line_errors("sql"):
        text = _query_text(query, file)
        parameters = dict(_named(item) for item in param or ())
        if format not in FORMATS:
            raise ValueError(f"--format: one of {', '.join(FORMATS)}")
        if format == "parquet" and output is None:
            raise ValueError("--format parquet needs --output FILE")
        if format == "table" and output is not None:
            raise ValueError("--output needs --format json, csv or parquet")
        if vertical and format != "table":
            raise ValueError("--vertical is for tables")
        client = connect(people_config().clickhouse)
        if format != "table":
            _write(client, text, parameters, format, limit or 0, output)
            return
        found = read(client, text, parameters, TABLE_ROWS if limit is None else limit)
    print_whole(layout(found, screen_width(), vertical))
    print_whole(f"{len(found.rows)} rows{', more were left out (--limit)' if found.cut else ''}")


def _write(
    client: "Client",
    query: str,
    parameters: dict[str, str],
    format: str,
    limit: int,
    output: Path | None,
) -> None:
    """To stdout, or to a file that appears once it is whole."""
    from stack.sql_output import write

    if output is None:
        write(client, query, parameters, format, limit, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as out:
            size_bytes = write(client, query, parameters, format, limit, out)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    errors.print(f"{output}: {size_bytes:,} bytes", highlight=False, markup=False)


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
    limit: Annotated[
        int, typer.Option(min=0, help="most spans drawn, in the tree's order; 0 is all")
    ] = TRACE_SPANS,
    json: Annotated[bool, typer.Option("--json", help="spans as JSON lines, all of them")] = False,
) -> None:
    """Draw a trace as a tree: spans, durations, tokens, cost, verdicts. Exit 1 if it is unknown.

    Where several tenants have spans of that trace id, each has a tree.
    """
    from sql.client import connect
    from stack.span_tree import QUERY, draw, parameters, read_trace
    from stack.sql_output import write

    with one_line_errors("trace"):
        wanted = trace_id.strip().lower().replace("-", "")
        client = connect(people_config().clickhouse)
        if json:
            out = sys.stdout.buffer
            known = bool(write(client, QUERY, parameters(wanted, tenant), "json", 0, out))
            out.flush()
        else:
            spans = read_trace(client, wanted, tenant)
            known = bool(spans)
            for line in draw(wanted, spans, limit):
                print_whole(line)
        if not known:
            raise ValueError(f"no trace {wanted}: not stored yet, expired, or another tenant's")
