"""Migrations apply once, refuse edits, and create what the code and the contract say."""

import asyncio
import hashlib
import re
import shutil
import uuid
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import evaluation_row, operation_row
from schemas.config import Config
from schemas.evaluators import EVERY_CALL
from sql.client import connect
from sql.dictionary import VIEWS, statements
from sql.migrate import MigrationError, migrate
from sql.tables import MIGRATIONS, tables
from tests.sql.records import evaluation, feedback, operation

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

UPGRADE = """-- A later release's column.
ALTER TABLE genai_operations
  ADD COLUMN IF NOT EXISTS region LowCardinality(String) COMMENT 'Region of the app';

-- A later release's table. Writer: tests.
CREATE TABLE IF NOT EXISTS genai_later
(
  tenant LowCardinality(String) COMMENT 'Tenant',
  day Date COMMENT 'Partition',
  revision UInt64 COMMENT 'The highest wins'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY tenant;
"""
WORKERS = 3
BEFORE, AFTER = 10, 10
"""Inserts of each worker that must be done before the upgrade begins, and after it has ended."""


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


@pytest.fixture
def empty(migrated: Config) -> Config:
    """A configuration with a database name of the test's own, which does not exist yet."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    return migrated.model_copy(
        update={"clickhouse": migrated.clickhouse.model_copy(update={"database": name})}
    )


async def test_upgrade_with_workers_running_loses_nothing(empty: Config, tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    migrate(empty, folder)
    (folder / "9999_later.sql").write_text(UPGRADE)
    upgraded = asyncio.Event()
    done = [0] * WORKERS

    async def work(worker: int) -> None:
        sink = ClickHouseSink(empty, SystemClock())
        after = 0
        while after < AFTER:
            after += upgraded.is_set()
            row = operation_row(operation(worker, done[worker] + 1))
            await sink.insert("genai_operations", [row])
            done[worker] += 1
        await sink.close()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(work(worker))
        while min(done) < BEFORE:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(migrate, empty, folder) == ["9999_later.sql"]
        upgraded.set()
    client = connect(empty.clickhouse)
    stored = client.query(
        "SELECT trace_id, count(), uniqExact(span_id), any(region) FROM v_calls AS v "
        "INNER JOIN (SELECT span_id, trace_id, region FROM genai_operations FINAL) AS o "
        "USING (trace_id, span_id) GROUP BY trace_id ORDER BY trace_id"
    ).result_rows
    assert [tuple(row[1:]) for row in stored] == [(n, n, "") for n in done]
    assert client.query("SELECT count() FROM genai_later").result_rows == [(0,)]
    client.close()


async def test_workers_of_the_next_release_wait_for_the_upgrade(empty: Config) -> None:
    """They start before ``migrate`` has run: their rows wait, and none is refused."""
    _apply_all_but(empty, first_left_out="0009")
    sink = ClickHouseSink(empty, SystemClock())
    waiting = [
        asyncio.ensure_future(sink.insert(name, [row]))
        for name, row in (
            ("genai_feedback", feedback("early")),
            ("genai_evaluations", evaluation_row(evaluation(1, 1))),
        )
    ]
    await asyncio.sleep(0.5)
    assert not waiting[0].done()
    await asyncio.to_thread(migrate, empty)
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    await sink.close()
    client = connect(empty.clickhouse)
    assert client.query(
        "SELECT (SELECT count() FROM v_feedback), (SELECT count() FROM v_verdicts)"
    ).result_rows == [(1, 1)]
    client.close()


def test_interrupted_migration_is_taken_up_again(empty: Config, tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    migrate(empty, folder)
    (folder / "9999_later.sql").write_text(UPGRADE)
    client = connect(empty.clickhouse)
    client.command(next(statements(UPGRADE)))
    assert migrate(empty, folder) == ["9999_later.sql"]
    assert migrate(empty, folder) == []
    assert client.query("SELECT region FROM genai_operations").result_rows == []
    assert client.query("SELECT count() FROM genai_later").result_rows == [(0,)]
    client.close()


def test_added_columns_stand_last_among_the_declared(tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (folder / "9999_later.sql").write_text(UPGRADE)
    before, after = tables()["genai_operations"], tables(folder)["genai_operations"]
    assert after.columns == (*before.columns, "region")
    assert after.declared[-1].comment == "Region of the app"
    assert tables(folder)["genai_later"].identity == ("tenant",)


async def test_two_migrates_at_once_agree(empty: Config) -> None:
    await asyncio.gather(*(asyncio.to_thread(migrate, empty) for _ in range(2)))
    assert migrate(empty) == []
    client = connect(empty.clickhouse)
    rows = client.query("SELECT name FROM schema_migrations FINAL ORDER BY name").result_rows
    assert [row[0] for row in rows] == sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    client.close()


def _apply_all_but(config: Config, first_left_out: str) -> None:
    """The database of the release before: its migrations, as its ``migrate`` recorded them."""
    client = connect(config.clickhouse.model_copy(update={"database": "default"}))
    client.command(f"CREATE DATABASE {config.clickhouse.database}")
    client.close()
    client = connect(config.clickhouse)
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name < first_left_out:
            for statement in statements(path.read_text()):
                client.command(statement)
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            client.insert(
                "schema_migrations", [[path.name, checksum]], column_names=["name", "checksum"]
            )
    client.close()


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
        kept = tables()[name].kept
        ttl = re.search(r" TTL (.*?) \+ toIntervalDay\((\d+)\)", engine)
        assert (int(ttl[2]) if ttl else None) == (kept[0] if kept else None)
        assert not ttl or kept[1] in ttl[1]


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
    fields = ("score", "label", "state")
    assert {f"{name}_{field}" for name in EVERY_CALL for field in fields} <= columns
    assert {"check_labels", "check_values"} <= columns


def test_every_view_reads_tables_with_final() -> None:
    for path in VIEWS.glob("*.sql"):
        for line in path.read_text().splitlines():
            for name in re.findall(r"FROM (?:genai_|otel_spans)\w*.*", line):
                assert re.match(r"FROM \w+ (AS \w+ )?FINAL\b", name), f"{path.name}: {line}"
