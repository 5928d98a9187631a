"""One query to a table on the screen or to a file: what ``streamgauge sql`` does."""

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from clickhouse_connect.driver.client import Client

from sql.client import allowed

READ_ONLY = {"readonly": 2}
"""Of ClickHouse: nothing is changed, settings may be."""
_PARQUET = "Parquet"


def run(
    client: Client, query: str, parameters: dict[str, str], limit: int
) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    """Column names, rows, and whether there are more than ``limit`` rows (0: no limit).

    Raises clickhouse-connect's errors.
    """
    settings = allowed(client, READ_ONLY | ({"limit": limit + 1} if limit else {}))
    result = client.query(query, parameters=parameters, settings=settings)
    rows = [tuple(row) for row in result.result_rows]
    cut = bool(limit) and len(rows) > limit
    return list(result.column_names), rows[:limit] if cut else rows, cut


def write_parquet(client: Client, query: str, parameters: dict[str, str], path: Path) -> None:
    """The whole result in a Parquet file, as ClickHouse writes it."""
    settings = allowed(client, READ_ONLY)
    value = client.raw_query(query, parameters=parameters, settings=settings, fmt=_PARQUET)
    path.write_bytes(value)


def write_rows(
    kind: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], out: IO[str]
) -> None:
    """Rows as CSV with a header, or as one JSON object a line."""
    if kind == "csv":
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows([_plain(value) for value in row] for row in rows)
        return
    for row in rows:
        named = dict(zip(columns, (_plain(value) for value in row), strict=True))
        out.write(json.dumps(named, ensure_ascii=False, default=str) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
