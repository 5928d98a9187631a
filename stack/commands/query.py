"""Commands for analysts and on-call: what ClickHouse holds."""

from typing import Annotated

import typer
from rich.table import Table

from stack.commands.common import app, console, load_config, one_line_errors


@app.command()
def sql(query: Annotated[str, typer.Argument(help="a SELECT over the views")]) -> None:
    """Run one query and print its rows as a table."""
    from sql.client import connect

    with one_line_errors("sql"):
        result = connect(load_config().clickhouse).query(query)
    table = Table(*result.column_names)
    for row in result.result_rows:
        table.add_row(*(str(value) for value in row))
    console.print(table)
    console.print(f"{len(result.result_rows)} rows")
