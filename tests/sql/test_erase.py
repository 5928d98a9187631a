"""``sql/erase.sql`` removes every row of a trace, and none of another."""

from pathlib import Path

from clickhouse_connect.driver.client import Client

import sql
from sql.tables import tables

STATEMENTS = [
    statement.strip()
    for statement in (Path(sql.__file__).parent / "erase.sql").read_text().split(";")
    if statement.strip()
]
TRACE_COLUMNS = {
    table.name: column.name
    for table in tables().values()
    for column in table.declared
    if column.name in ("trace_id", "TraceId")
}
OWN_IDENTITY = {"genai_dead_letters": ("value_sha256",), "genai_feedback": ("feedback_id",)}
"""Columns that tell rows apart where the trace does not."""
THEIRS, OTHER = "a" * 32, "b" * 32


def traces(client: Client, name: str) -> list[str]:
    """Traces that a table has rows of."""
    column = TRACE_COLUMNS[name]
    rows = client.query(
        "SELECT {column:Identifier} FROM {name:Identifier} WHERE tenant = 'erase' ORDER BY 1",
        parameters={"column": column, "name": name},
    ).result_rows
    return [str(row[0]) for row in rows]


def test_rows_of_a_trace_go_from_every_table_that_names_one(client: Client) -> None:
    assert len(TRACE_COLUMNS) == len(STATEMENTS) == 8
    for name, column in TRACE_COLUMNS.items():
        named = dict.fromkeys(("tenant", column, *OWN_IDENTITY.get(name, ())))
        rows = [("erase", *[trace] * (len(named) - 1)) for trace in (THEIRS, OTHER)]
        client.insert(name, rows, column_names=list(named))
        assert traces(client, name) == [THEIRS, OTHER], name
    client.insert(
        "genai_feedback", [("erase", "c", "their talk"), ("erase", "d", "another")],
        column_names=["tenant", "feedback_id", "conversation_id"],
    )  # fmt: skip
    of = {"tenant": "erase", "trace_ids": [THEIRS], "conversation_ids": ["their talk"]}
    for statement in STATEMENTS:
        client.command(statement, parameters=of)
    for name in TRACE_COLUMNS:
        left = ["", OTHER] if name == "genai_feedback" else [OTHER]
        assert traces(client, name) == left, name
