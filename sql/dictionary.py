"""What views and cookbook queries say of themselves, read from their leading comments.

A view's comment says what a row is; then, a line each, ``-- * column: meaning`` (continued by
lines indented further). A column without one means what the column of the same name means in the
table or view that the view reads. ``migrate`` gives the meanings to ClickHouse as comments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sql.tables import comment_text, tables

VIEWS = Path(__file__).parent / "views"
QUERIES = Path(__file__).parent / "queries"

RESTRICTED = "Content class: restricted. "
GROUPS = (
    "What was flagged, and why",
    "Conversations",
    "Cost",
    "Latency and errors",
    "Coverage",
    "Versions compared",
    "Instrumentation health",
    "Freshness and the books",
    "Top offenders and first seen",
)
"""Groups of the cookbook, in its order."""

_HEADER = re.compile(r"((?:--[^\n]*\n)+)(.*)", re.DOTALL)
_VIEW = re.compile(r"CREATE OR REPLACE VIEW (\w+) AS\s+(?:WITH\s.*?\n)?SELECT\s(.*)", re.DOTALL)
_MEANING = re.compile(r"^-- \* (\w+): ([^\n]+(?:\n--   [^\n]+)*)\n", re.MULTILINE)
_SOURCE = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"(?:^|[\s.])(?:`([\w.]+)`|(\w+))\s*$")
_QUERY = re.compile(r"(.*\?) Group: (.*?)\. Meaning: (.*?) n: (.*?)(?: Parameters: (.*))?")


@dataclass(frozen=True, slots=True)
class View:
    """One view: the statement that makes it, its meaning, its columns in order with theirs."""

    name: str
    statement: str
    about: str
    meanings: dict[str, str]
    restricted: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the cookbook; ``parameters`` is empty where it takes none."""

    file: str
    text: str
    question: str
    group: str
    meaning: str
    n: str
    parameters: str


def statements(text: str) -> Iterator[str]:
    """Statements of a file with their comments: each ends with a semicolon at a line's end."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        if line.rstrip().endswith(";") and not line.lstrip().startswith("--"):
            yield "\n".join(lines).strip().removesuffix(";")
            lines = []
    if any(line.strip() and not line.lstrip().startswith("--") for line in lines):
        yield "\n".join(lines).strip()


@cache
def views() -> dict[str, View]:
    """Every view by name, in the order of creation.

    Raises ``ValueError`` naming a file without a leading comment, or a column without a meaning.
    """
    found: dict[str, View] = {}
    for path in sorted(VIEWS.glob("*.sql")):
        for statement in statements(path.read_text()):
            header = _HEADER.fullmatch(statement)
            view = _VIEW.fullmatch(header[2]) if header else None
            if header is None or view is None:
                raise ValueError(f"{path.name}: expected a comment, then CREATE OR REPLACE VIEW")
            about = comment_text(_MEANING.sub("", header[1]))
            own = {name: comment_text(text) for name, text in _MEANING.findall(header[1])}
            known = _inherited(header[2], found) | own
            columns = list(_selected(view[2]))
            if wrong := [name for name in columns if name not in known] + [
                name for name in own if name not in columns
            ]:
                raise ValueError(f"{path.name}: no meaning, or no such column: {wrong}")
            found[view[1]] = View(
                view[1],
                statement,
                about.removeprefix(RESTRICTED),
                {name: known[name] for name in columns},
                about.startswith(RESTRICTED),
            )
    return found


@cache
def queries() -> dict[str, Query]:
    """The cookbook by file name. Raises ``ValueError`` naming a file not commented as it must."""
    found: dict[str, Query] = {}
    for path in sorted(QUERIES.glob("*.sql")):
        text = path.read_text()
        header = _HEADER.fullmatch(text)
        said = _QUERY.fullmatch(comment_text(header[1]) if header else "")
        if header is None or said is None or said[2] not in GROUPS:
            raise ValueError(
                f"{path.name}: expected -- question?, -- Group: one of GROUPS., -- Meaning:, "
                "-- n:, and -- Parameters: where it takes some"
            )
        found[path.name] = Query(path.name, header[2].strip(), *said.groups(default=""))
    return found


def _inherited(statement: str, earlier: dict[str, View]) -> dict[str, str]:
    """Meanings of the columns of what a statement reads; the first source named wins."""
    known: dict[str, str] = {}
    for source in _SOURCE.findall(statement):
        if source in tables():
            columns = {c.name: c.comment for c in tables()[source].declared}
        else:
            columns = earlier[source].meanings if source in earlier else {}
        known = columns | known
    return known


def _selected(text: str) -> Iterator[str]:
    """Names of the columns of a select list, up to its ``FROM``."""
    depth, item = 0, ""
    for piece in re.findall(r"[(\[)\],]|\bFROM\b|[^(\[)\],]+?(?=[(\[)\],]|\bFROM\b)", _blank(text)):
        if depth == 0 and piece in (",", "FROM"):
            if (name := _NAME.search(item)) is None:
                raise ValueError(f"a column without a name: {item.strip()}")
            yield name[1] or name[2]
            item = ""
            if piece == "FROM":
                return
            continue
        depth += (piece in "([") - (piece in ")]")
        item += piece


def _blank(text: str) -> str:
    """The statement with its text literals emptied, whose commas and brackets mean nothing."""
    return _TEXT.sub("''", text)
