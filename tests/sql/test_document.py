"""The analysts' page says what the migrations, views and queries say, and the database agrees."""

from clickhouse_connect.driver.client import Client

from sql.document import PAGE, page, queries, views
from sql.tables import tables


def test_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m sql.document"


def test_view_columns_are_those_of_the_database(client: Client) -> None:
    found = list(views())
    for view in found:
        described = client.query(f"DESCRIBE TABLE {view.name}").result_rows
        assert view.columns == tuple(row[0] for row in described), view.name
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
    ).result_rows
    assert sorted(row[0] for row in rows) == sorted(view.name for view in found)


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
    assert len(list(queries())) == 10
    assert all(query.n for query in queries())


def test_views_that_show_texts_are_marked() -> None:
    texts = {"part_text", "input_text", "output_text", "excerpt"}
    for view in views():
        assert view.restricted == bool(texts & set(view.columns)), view.name
