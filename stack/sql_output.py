"""One query to the screen or to a file, in ClickHouse's own formats: what ``streamgauge sql`` does.

Rows pass through in chunks and as ClickHouse writes them: maps, decimals, nanoseconds and what is
no number come out the same in every format.
"""

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

import orjson
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sql.client import allowed
from stack.printable import harmless

FORMATS: Mapping[str, str] = {"json": "JSONEachRow", "csv": "CSVWithNames", "parquet": "Parquet"}
"""Of files, by the name the command has for it."""
_CELLS = "JSONCompactStringsEachRowWithNames"
_NULL = "ᴺᵁᴸᴸ"
"""What that format writes for NULL."""
_SETTINGS: Mapping[str, object] = {
    "readonly": 2,  # nothing is changed, settings may be
    "date_time_output_format": "iso",
    "output_format_json_quote_denormals": 1,  # NaN and infinities are no JSON
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_validate_utf8": 1,
}
_WHOLE = {"wait_end_of_query": 1}
"""A query that fails half-way is an error, not a file that looks complete."""
_CHUNK_BYTES = 1 << 20
_SYNTAX_ERROR = 62
_OWN_FORMAT = re.compile(r"\bFORMAT\s+\w+", re.IGNORECASE)
_FEWEST_CHARS = 8
"""Of a column on the screen: with less, the table is of no use and rows go below each other."""
_WIDEST_CHARS = 4096
"""Of a table that is piped: each row is padded to the longest text."""


class Rows(NamedTuple):
    """What is shown; ``cut`` says that there are more rows."""

    columns: list[str]
    rows: list[list[str]]
    cut: bool


def write(
    client: Client, query: str, parameters: Mapping[str, str], kind: str, limit: int, out: BinaryIO
) -> int:
    """The result in one of :data:`FORMATS`, at most ``limit`` rows (0: all); bytes written.

    Raises clickhouse-connect's errors, and ``ValueError`` for a query with a FORMAT of its own.
    """
    written = 0
    for chunk in _chunks(client, query, parameters, FORMATS[kind], limit):
        out.write(chunk)
        written += len(chunk)
    return written


def read(client: Client, query: str, parameters: Mapping[str, str], limit: int) -> Rows:
    """The result as text; the same errors."""
    value = b"".join(_chunks(client, query, parameters, _CELLS, limit + 1 if limit else 0))
    columns, *rows = (orjson.loads(line) for line in value.splitlines()) if value else ([],)
    cut = bool(limit) and len(rows) > limit
    return Rows(columns, rows[:limit] if cut else rows, cut)


def _chunks(
    client: Client, query: str, parameters: Mapping[str, str], kind: str, limit: int
) -> Iterator[bytes]:
    settings = allowed(client, {**_SETTINGS, **({"limit": limit} if limit else {})})
    text = query.rstrip().rstrip(";")
    try:
        stream = client.raw_stream(
            text, parameters=dict(parameters), settings={**settings, **_WHOLE}, fmt=kind
        )
        with stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk
    except DatabaseError as error:
        if error.code == _SYNTAX_ERROR and _OWN_FORMAT.search(text):
            raise ValueError("leave FORMAT out of the query and say --format") from None
        raise


def layout(found: Rows, width: int | None, vertical: bool) -> RenderableType:
    """A table, or each row's columns below each other where the width (None: none) is too small."""
    if vertical or _too_wide(found, width):
        return _vertical(found)
    table = Table()
    for name in found.columns:
        table.add_column(Text(harmless(name)), overflow="fold")
    for row in found.rows:
        table.add_row(*map(_cell, row))
    return table


def _too_wide(found: Rows, width: int | None) -> bool:
    if width is not None:
        return len(found.columns) * (_FEWEST_CHARS + 3) > width
    columns = zip(found.columns, *found.rows, strict=True)
    return sum(max(map(len, column)) + 3 for column in columns) > _WIDEST_CHARS


def _vertical(found: Rows) -> Text:
    longest = max(map(len, found.columns), default=0)
    text = Text(overflow="fold")
    for number, row in enumerate(found.rows, 1):
        text.append(f"-- row {number}\n", style="dim")
        for name, cell in zip(found.columns, row, strict=True):
            text.append(f"{harmless(name):<{longest}}  ", style="bold")
            text.append_text(_cell(cell)).append("\n")
    return text


def _cell(value: str) -> Text:
    return Text("" if value == _NULL else harmless(value), overflow="fold")
