"""Writes the analysts' pages ``docs/tables.md`` and ``docs/cookbook.md``.

Run as ``python -m sql.document``.

Everything on them is read from the migrations, views and cookbook queries, so that the pages
cannot say something else than the database; a test compares the committed pages.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from sql.dictionary import GROUPS, RESTRICTED, Query, View, queries, views
from sql.tables import Table, tables

DOCS = Path(__file__).parent.parent / "docs"

_TABLES_INTRO = """# Tables and views

Written by `python -m sql.document` from `sql/`; edit there. Questions with their queries are in
the [cookbook](cookbook.md).

Read the **views**: each row of theirs is there once, in its newest revision. A table may hold a
row several times until ClickHouse merges it; read it with `FINAL`. Every table is a
`ReplacingMergeTree(revision)`: of rows with the same identity the highest revision stays. Times
are UTC. *Restricted* means that redacted texts of users are in it: grant it apart. Views and
columns carry these meanings as comments: `DESCRIBE TABLE v_calls` shows them.

**Retention.** Rows go after the days under *kept* below, counted from their `day` (of a row
without a trusted one: from the day it was inserted) where no other column is named; views show
what their tables have. To change it: `ALTER TABLE genai_content MODIFY TTL
if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 7 DAY`; `migrate` leaves yours.
What Kafka keeps is in [topics](topics.md), how to erase what is stored of somebody in
[privacy](privacy.md#what-is-kept-and-erasure)."""
_COOKBOOK_INTRO = """# Cookbook

Written by `python -m sql.document` from `sql/queries/`; edit there. Each query is a file, run by
the tests on data that the line produced. What the views mean is in [Tables and views](tables.md).
A rate is worth what its n is worth: each query says which column that is.

```
streamgauge sql --file sql/queries/flag_rates.sql
streamgauge sql --file sql/queries/one_trace.sql -p trace_id=0af7651916cd43dd8448eb211c80319c
```

`-p NAME=VALUE` gives a parameter such as `{trace_id:String}`. Over HTTP, without the command:

```
curl 'http://127.0.0.1:8123/?database=default' --data-binary @sql/queries/flag_rates.sql
```

There a parameter is `&param_trace_id=...` in the URL."""


def pages() -> dict[str, str]:
    """Every page by file name."""
    return {"tables.md": _tables_page(), "cookbook.md": _cookbook_page()}


def _tables_page() -> str:
    found, declared = views().values(), tables().values()
    lines = [_TABLES_INTRO, "", "## Views", "", "| view | meaning |", "| --- | --- |"]
    lines += [_row(_link(view.name), _view_meaning(view)) for view in found]
    for view in found:
        rest = _sentences(view.about)[1]
        lines += ["", f"### {view.name}", "", *([rest, ""] if rest else [])]
        lines += ["| column | meaning |", "| --- | --- |"]
        lines += [_row(f"`{name}`", meaning) for name, meaning in view.meanings.items()]
    lines += ["", "## Tables", "", "| table | row | writer | identity | revision | kept |"]
    lines += ["| --- | --- | --- | --- | --- | --- |", *map(_table_row, declared)]
    for table in declared:
        lines += ["", f"### {table.name}", "", "| column | type | meaning |", "| --- | --- | --- |"]
        lines += [_row(f"`{c.name}`", f"`{c.type}`", c.comment) for c in table.declared]
    return "\n".join(lines) + "\n"


def _cookbook_page() -> str:
    grouped = {group: [q for q in queries().values() if q.group == group] for group in GROUPS}
    lines = [_COOKBOOK_INTRO]
    for group, members in grouped.items():
        lines += ["", f"## {group}", ""]
        lines += [f"- [{query.question}](#{_anchor(query.question)})" for query in members]
        for query in members:
            lines += ["", *_recipe(query)]
    return "\n".join(lines) + "\n"


def _recipe(query: Query) -> Iterable[str]:
    yield from (f"### {query.question}", "")
    yield f"{query.meaning} *n:* {query.n}"
    yield from ("", f"[`sql/queries/{query.file}`](../sql/queries/{query.file})")
    if query.parameters:
        yield from ("", f"Parameters: {query.parameters}")
    yield from ("", "```sql", query.text, "```")


def _anchor(heading: str) -> str:
    """The fragment that GitHub and others give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _table_row(table: Table) -> str:
    meaning, _, rest = re.split(r"(Writers?): ", table.about, maxsplit=1)
    writer, note = _sentences(rest)
    row = " ".join(filter(None, (meaning.strip(), note))).replace(
        RESTRICTED.strip(), "*Restricted.*"
    )
    revision = next(c.comment for c in table.declared if c.name == "revision")
    identity = ", ".join(f"`{name}`" for name in table.identity)
    return _row(_link(table.name), row, writer.rstrip("."), identity, revision, _kept(table))


def _kept(table: Table) -> str:
    if table.kept is None:
        return "for good"
    days, column = table.kept
    return f"{days} days" + ("" if column == "day" else f" after `{column}`")


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
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
