"""Columns of every table, read from the migrations: the one place that declares them.

A migration writes one column a line, indented by two spaces. Columns with a DEFAULT are
ClickHouse's own business (``inserted_at``) and are left out: what is listed is what a writer gives.
``day`` stands in sorting keys as well, so that a filter on it prunes partitions below FINAL and
through joins; being a function of identity, it is no part of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"

_CREATE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+)\n\(\n(.*?)\n\)\nENGINE = .*?\nORDER BY ([^\n]+)", re.DOTALL
)
_COLUMN = re.compile(r"  `?([\w.]+)`? ")


@dataclass(frozen=True, slots=True)
class Table:
    """One table: the columns a writer gives, in order, and those that make a row's identity."""

    name: str
    columns: tuple[str, ...]
    identity: tuple[str, ...]

    def row(self, values: Mapping[str, object]) -> tuple[object, ...]:
        """Values in column order. Raises ``KeyError`` naming a missing or unknown column."""
        if len(values) != len(self.columns):
            raise KeyError(f"{self.name}: {sorted(set(self.columns) ^ values.keys())}")
        return tuple([values[column] for column in self.columns])


@cache
def tables() -> dict[str, Table]:
    """Every table by name."""
    found: dict[str, Table] = {}
    for path in sorted(MIGRATIONS.glob("*.sql")):
        for name, body, key in _CREATE.findall(path.read_text()):
            columns = [
                match[1]
                for line in body.split("\n")
                if (match := _COLUMN.match(line))
                and match[1] != "INDEX"
                and " DEFAULT " not in line
            ]
            identity = tuple(item for item in key.strip("()").split(", ") if item != "day")
            found[name] = Table(name, tuple(columns), identity)
    return found


def table(name: str) -> Table:
    """One table. Raises ``KeyError`` for a name no migration creates."""
    return tables()[name]
