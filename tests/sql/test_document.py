"""The analysts' pages say what the migrations, views and queries say, and the database agrees."""

from clickhouse_connect.driver.client import Client

from sql.dictionary import queries, views
from sql.document import DOCS, pages
from sql.tables import tables


def test_committed_pages_are_the_generated_ones() -> None:
    for name, text in pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, "run: python -m sql.document"


def test_views_carry_their_meanings_in_the_database(client: Client) -> None:
    for view in views().values():
        described = client.query(f"DESCRIBE TABLE {view.name}").named_results()
        assert view.meanings == {row["name"]: row["comment"] for row in described}, view.name
        assert all(view.meanings.values()), view.name
    rows = client.query(
        "SELECT name, comment FROM system.tables "
        "WHERE database = currentDatabase() AND engine = 'View'"
    ).result_rows
    assert dict(rows) == {view.name: view.about for view in views().values()}


def test_table_columns_are_those_of_the_database(client: Client) -> None:
    for table in tables().values():
        rows = client.query(
            "SELECT name, type, comment FROM system.columns "
            "WHERE database = currentDatabase() AND table = {table:String} ORDER BY position",
            parameters={"table": table.name},
        ).result_rows
        declared = [(column.name, column.type, column.comment) for column in table.declared]
        assert declared == [tuple(row) for row in rows], table.name


def test_every_table_names_its_writer_and_every_query_its_n() -> None:
    assert all("Writer" in table.about for table in tables().values())
    assert all(query.n for query in queries().values())


def test_views_that_show_texts_are_marked() -> None:
    texts = {"part_text", "input_text", "output_text", "excerpt", "comment"}
    for view in views().values():
        assert view.restricted == bool(texts & set(view.meanings)), view.name
