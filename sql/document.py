"""Writes the analysts' page ``docs/tables.md``: ``python -m sql.document``.

Everything on it is read from the migrations, views and cookbook queries, so that the page cannot
say something else than the database; a test compares the committed page.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sql.migrate import VIEWS, statements
from sql.tables import Table, comment_text, tables

PAGE = Path(__file__).parent.parent / "docs" / "tables.md"
QUERIES = Path(__file__).parent / "queries"

_RESTRICTED = "Content class: restricted. "
_INTRO = """# Tables and views

Written by `python -m sql.document` from `sql/`; edit there.

Read the **views**: each row of theirs is there once, in its newest revision. A table may hold a
row several times until ClickHouse merges it; read it with `FINAL`. Every table is a
`ReplacingMergeTree(revision)`: of rows with the same identity the highest revision stays. Times
are UTC. *Restricted* means that redacted texts of users are in it: grant it apart."""
_HEADER = re.compile(r"((?:--[^\n]*\n)+)(.*)", re.DOTALL)
_VIEW = re.compile(r"CREATE OR REPLACE VIEW (\w+) AS\s+SELECT\s(.*)", re.DOTALL)
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"(?:^|[\s.])(?:`([\w.]+)`|(\w+))\s*$")


@dataclass(frozen=True, slots=True)
class View:
    """One view: its leading comment and its columns in order."""

    name: str
    about: str
    columns: tuple[str, ...]
    restricted: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the cookbook, from its leading comment."""

    file: str
    question: str
    meaning: str
    n: str


def views() -> Iterator[View]:
    """Every view. Raises ``ValueError`` naming a file that has none or no leading comment."""
    for path in sorted(VIEWS.glob("*.sql")):
        for statement in statements(path.read_text()):
            header = _HEADER.fullmatch(statement)
            view = _VIEW.fullmatch(header[2]) if header else None
            if header is None or view is None:
                raise ValueError(f"{path.name}: expected a comment, then CREATE OR REPLACE VIEW")
            about = comment_text(header[1])
            columns = tuple(_selected(view[2]))
            restricted = about.startswith(_RESTRICTED)
            yield View(view[1], about.removeprefix(_RESTRICTED), columns, restricted)


def queries() -> Iterator[Query]:
    """The cookbook. Raises ``ValueError`` naming a file whose comment is not as it must be."""
    for path in sorted(QUERIES.glob("*.sql")):
        header = _HEADER.fullmatch(path.read_text())
        said = re.fullmatch(
            r"(.*\?) Meaning: (.*) n: (.*)", comment_text(header[1]) if header else ""
        )
        if said is None:
            raise ValueError(f"{path.name}: expected -- question?, -- Meaning:, -- n:")
        yield Query(path.name, *said.groups())


def page() -> str:
    """The whole page."""
    found, declared, cookbook = list(views()), tables().values(), list(queries())
    lines = [_INTRO, "", "## Views", "", "| view | meaning |", "| --- | --- |"]
    lines += [_row(_link(view.name), _view_meaning(view)) for view in found]
    for view in found:
        rest = _sentences(view.about)[1]
        lines += ["", f"### {view.name}", "", *([rest, ""] if rest else [])]
        lines.append("Columns: " + ", ".join(f"`{name}`" for name in view.columns))
    lines += ["", "## Tables", "", "| table | row | writer | identity | revision |"]
    lines += ["| --- | --- | --- | --- | --- |", *map(_table_row, declared)]
    for table in declared:
        lines += ["", f"### {table.name}", "", "| column | type | meaning |", "| --- | --- | --- |"]
        lines += [_row(f"`{c.name}`", f"`{c.type}`", c.comment) for c in table.declared]
    lines += ["", "## Cookbook", "", "| question | meaning | n | file |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [
        _row(query.question, query.meaning, query.n, f"[{query.file}](../sql/queries/{query.file})")
        for query in cookbook
    ]
    return "\n".join(lines) + "\n"


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


def _table_row(table: Table) -> str:
    meaning, _, rest = re.split(r"(Writers?): ", table.about, maxsplit=1)
    writer, note = _sentences(rest)
    row = " ".join(filter(None, (meaning.strip(), note))).replace(
        _RESTRICTED.strip(), "*Restricted.*"
    )
    revision = next(c.comment for c in table.declared if c.name == "revision")
    identity = ", ".join(f"`{name}`" for name in table.identity)
    return _row(_link(table.name), row, writer.rstrip("."), identity, revision)


def _view_meaning(view: View) -> str:
    return _sentences(view.about)[0] + (" *Restricted.*" if view.restricted else "")


def _sentences(text: str) -> tuple[str, str]:
    """The first sentence and the rest."""
    first, dot, rest = text.partition(". ")
    return (first + "." if dot else first), rest


def _link(name: str) -> str:
    return f"[{name}](#{name})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
