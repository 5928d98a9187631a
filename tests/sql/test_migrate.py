"""Migrations apply once, refuse edits, and create what the code and the contract say."""

import shutil
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.config import Config
from schemas.evaluators import Evaluator
from sql.migrate import VIEWS, MigrationError, migrate, statements
from sql.tables import MIGRATIONS, tables

MAP = "Map(LowCardinality(String), String)"
EXPORTER_COLUMNS = [
    ("Timestamp", "DateTime64(9)"),
    ("TraceId", "String"),
    ("SpanId", "String"),
    ("ParentSpanId", "String"),
    ("TraceState", "String"),
    ("SpanName", "LowCardinality(String)"),
    ("SpanKind", "LowCardinality(String)"),
    ("ServiceName", "LowCardinality(String)"),
    ("ResourceAttributes", MAP),
    ("ScopeName", "String"),
    ("ScopeVersion", "String"),
    ("SpanAttributes", MAP),
    ("Duration", "UInt64"),
    ("StatusCode", "LowCardinality(String)"),
    ("StatusMessage", "String"),
    ("Events.Timestamp", "Array(DateTime64(9))"),
    ("Events.Name", "Array(LowCardinality(String))"),
    ("Events.Attributes", f"Array({MAP})"),
    ("Links.TraceId", "Array(String)"),
    ("Links.SpanId", "Array(String)"),
    ("Links.TraceState", "Array(String)"),
    ("Links.Attributes", f"Array({MAP})"),
    ("ResourceAttributeItems", "Array(String)"),
    ("SpanAttributeItems", "Array(String)"),
]


def test_migrate_again_applies_nothing(migrated: Config) -> None:
    assert migrate(migrated) == []


def test_edited_migration_is_refused(migrated: Config, tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    name = sorted(path.name for path in folder.iterdir())[1]
    (folder / name).write_text((folder / name).read_text() + "\n-- a word more\n")
    with pytest.raises(MigrationError, match=f"{name} was edited.*expected sha256"):
        migrate(migrated, folder)


def test_unknown_applied_migration_is_refused(migrated: Config, tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    name = sorted(path.name for path in folder.iterdir())[-1]
    (folder / name).unlink()
    with pytest.raises(MigrationError, match=f"{name} was applied here"):
        migrate(migrated, folder)


def test_statements_end_at_line_ends() -> None:
    text = "-- note; no end,\n-- nor this;\nSELECT 'a;b';\n\n-- only a comment\n"
    assert list(statements(text)) == ["-- note; no end,\n-- nor this;\nSELECT 'a;b'"]


def test_declared_columns_are_those_of_the_database(client: Client) -> None:
    for table in tables().values():
        rows = client.query(
            "SELECT name, comment FROM system.columns "
            "WHERE database = currentDatabase() AND table = {table:String} AND default_kind = '' "
            "ORDER BY position",
            parameters={"table": table.name},
        ).result_rows
        assert tuple(name for name, _ in rows) == table.columns


def test_every_table_and_column_is_commented_and_replaces_by_identity(client: Client) -> None:
    assert not client.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        "AND table IN {tables:Array(String)} AND comment = ''",
        parameters={"tables": list(tables())},
    ).result_rows
    rows = client.query(
        "SELECT name, engine_full, sorting_key, partition_key, comment FROM system.tables "
        "WHERE database = currentDatabase() AND name IN {tables:Array(String)}",
        parameters={"tables": list(tables())},
    ).result_rows
    assert {row[0] for row in rows} == set(tables())
    for name, engine, sorting_key, partition_key, comment in rows:
        assert engine.startswith("ReplacingMergeTree(revision)"), name
        key = [column for column in sorting_key.split(", ") if column != "day"]
        assert tuple(key) == tables()[name].identity
        assert partition_key == "day"
        assert comment


def test_otel_views_have_the_exporters_columns(client: Client) -> None:
    described = client.query("DESCRIBE TABLE otel_traces").result_rows
    assert [(row[0], row[1]) for row in described] == EXPORTER_COLUMNS
    lookup = client.query("DESCRIBE TABLE otel_traces_trace_id_ts").result_rows
    assert [(row[0], row[1]) for row in lookup] == [
        ("TraceId", "String"),
        ("Start", "DateTime"),
        ("End", "DateTime"),
    ]


def test_calls_show_every_evaluator(client: Client) -> None:
    columns = {row[0] for row in client.query("DESCRIBE TABLE v_calls").result_rows}
    assert {f"{name}_{field}" for name in Evaluator for field in ("score", "label", "state")} <= (
        columns
    )


def test_every_view_reads_tables_with_final() -> None:
    for path in VIEWS.glob("*.sql"):
        for line in path.read_text().splitlines():
            if "FROM genai_" in line or "FROM otel_spans" in line:
                assert line.rstrip().endswith("FINAL"), f"{path.name}: {line}"
