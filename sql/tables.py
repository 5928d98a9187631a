"""Columns of every table, read from the migrations: the one place that declares them.

A migration begins with comment lines: what a row is, then ``Writer:`` and the stage that inserts
it. It writes one column a line, indented by two spaces. Columns with a DEFAULT are ClickHouse's own
business (``inserted_at``) and no writer gives them. A later migration that adds columns says
``ALTER TABLE name`` and, a line each, ``  ADD COLUMN IF NOT EXISTS name type COMMENT 'text',``:
without ``FIRST`` or ``AFTER``, so that they stand last, as they do here. Workers of the release
before name their columns when they insert: the new ones get their type's default. A column that no
writer ever gave may go: ``  DROP COLUMN IF EXISTS name;``. One that says
better what a column means has lines ``  COMMENT COLUMN name 'text',`` in a statement of their own.
``day`` stands in sorting keys as well, so that a filter on it prunes partitions below FINAL and
through joins; being a function of identity, it is no part of it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"

_CREATE = re.compile(
    r"((?:--[^\n]*\n)+)CREATE TABLE IF NOT EXISTS (\w+)\n\(\n(.*?)\n\)\nENGINE = .*?\n"
    r"ORDER BY ([^\n]+)(?:\nTTL ([^\n]+))?",
    re.DOTALL,
)
_TTL = re.compile(r"(.*?)(\w+)\)? \+ INTERVAL (\d+) DAY")
_ALTER = re.compile(r"ALTER TABLE (\w+)\n((?:  ADD COLUMN IF NOT EXISTS [^\n]+(?:\n|\Z))+)")
_DROP = re.compile(r"ALTER TABLE (\w+)\n((?:  DROP COLUMN IF EXISTS \w+[,;](?:\n|\Z))+)")
_COMMENT = re.compile(r"ALTER TABLE (\w+)\n((?:  COMMENT COLUMN [^\n]+(?:\n|\Z))+)")
_MEANING = re.compile(r"  COMMENT COLUMN (\w+) '((?:[^'\\]|\\.)*)'[,;]")
_COLUMN = re.compile(
    r"  `?([\w.]+)`? ([A-Z].*?)( DEFAULT .*?)?(?: CODEC\(.*\))? COMMENT '((?:[^'\\]|\\.)*)'[,;]?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as its migration declares it; ``given`` is false where ClickHouse fills it."""

    name: str
    type: str
    comment: str
    given: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table: the columns a writer gives, in order, and those that make a row's identity.

    ``about`` is the migration's leading comment; ``declared`` has the columns of ClickHouse's own
    as well. ``kept`` is how many days after the time in which column a row is dropped; None: never.
    """

    name: str
    columns: tuple[str, ...]
    identity: tuple[str, ...]
    about: str
    declared: tuple[Column, ...]
    kept: tuple[int, str] | None

    def row(self, values: Mapping[str, object]) -> tuple[object, ...]:
        """Values in column order. Raises ``KeyError`` naming a missing or unknown column."""
        if len(values) != len(self.columns):
            raise KeyError(f"{self.name}: {sorted(set(self.columns) ^ values.keys())}")
        return tuple([values[column] for column in self.columns])


def comment_text(lines: str) -> str:
    """Text of leading ``--`` lines, as one line."""
    return " ".join(line.removeprefix("--").strip() for line in lines.splitlines())


@cache
def tables(folder: Path = MIGRATIONS) -> dict[str, Table]:
    """Every table by name."""
    found: dict[str, Table] = {}
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text()
        for about, name, body, key, ttl in _CREATE.findall(text):
            declared = tuple(map(_column, filter(_is_column, body.split("\n"))))
            identity = tuple(item for item in key.strip("();").split(", ") if item != "day")
            meaning, kept = comment_text(about), _kept(ttl)
            found[name] = Table(name, _given(declared), identity, meaning, declared, kept)
        for name, body in _DROP.findall(text):
            gone = set(re.findall(r"EXISTS (\w+)", body))
            declared = tuple(c for c in found[name].declared if c.name not in gone)
            found[name] = replace(found[name], columns=_given(declared), declared=declared)
        for name, body in _ALTER.findall(text):
            added = (line.replace("ADD COLUMN IF NOT EXISTS ", "") for line in body.splitlines())
            declared = (*found[name].declared, *map(_column, added))
            found[name] = replace(found[name], columns=_given(declared), declared=declared)
        for name, body in _COMMENT.findall(text):
            told = {column: _unescaped(said) for column, said in _MEANING.findall(body)}
            declared = tuple(
                replace(column, comment=told.get(column.name, column.comment))
                for column in found[name].declared
            )
            found[name] = replace(found[name], declared=declared)
    return found


def _given(declared: Iterable[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in declared if column.given)


def _kept(ttl: str) -> tuple[int, str] | None:
    """Days and the column that they count from: ``day`` also where an unknown one is replaced."""
    if not ttl:
        return None
    match = _TTL.fullmatch(ttl)
    if match is None:
        raise ValueError(f"not a time and a number of days: {ttl}")
    return int(match[3]), match[2]


def _is_column(line: str) -> bool:
    return not line.startswith("  INDEX ")


def _column(line: str) -> Column:
    match = _COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"not a column with a type and a comment: {line.strip()}")
    name, kind, default, comment = match.groups()
    return Column(name, kind, _unescaped(comment), default is None)


def _unescaped(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal)


def table(name: str) -> Table:
    """One table. Raises ``KeyError`` for a name no migration creates."""
    return tables()[name]
