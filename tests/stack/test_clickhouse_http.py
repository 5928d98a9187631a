"""A stock client works against the embedded ClickHouse as against a server."""

import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from stack.clickhouse.process import ClickHouse
from stack.clickhouse.server import TOKEN_HEADER

COLUMNS = ["id", "attributes", "started", "tags", "cost_usd", "model", "note", "revision"]


def connect(server: ClickHouse, **options: object) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, headers={TOKEN_HEADER: server.token}, **options
    )


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Client]:
    """A client in a database of its own, holding the table ``calls``."""
    name = f"d{uuid4().hex[:12]}"
    admin = connect(clickhouse)
    admin.command(f"CREATE DATABASE {name}")
    own = connect(clickhouse, database=name)
    own.command(
        """
        CREATE TABLE calls (
            id UInt64, attributes Map(LowCardinality(String), String), started DateTime64(9, 'UTC'),
            tags Array(LowCardinality(String)), cost_usd Nullable(Decimal(18, 9)),
            model LowCardinality(String), note String, revision UInt64
        ) ENGINE = ReplacingMergeTree(revision) ORDER BY id
        SETTINGS non_replicated_deduplication_window = 1000
        """
    )
    yield own
    admin.command(f"DROP DATABASE {name}")


def row(number: int, revision: int = 1, note: str = "n") -> list[object]:
    started = datetime(2026, 5, 1, 12, 30, 0, 123456, tzinfo=UTC)
    cost = Decimal("0.000000001") * number if number % 2 else None
    attributes = {"service.name": "shop", "späße": "it's\n\t\\"}
    return [number, attributes, started, ["a", "b"], cost, "m-1", note, revision]


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_round_trip_of_types(clickhouse: ClickHouse, client: Client, compress: str | bool) -> None:
    own = connect(clickhouse, database=client.database, compress=compress)
    summary = own.insert("calls", [row(n) for n in range(100)], column_names=COLUMNS)
    assert summary.written_rows == 100
    result = own.query("SELECT * FROM calls ORDER BY id", tz_mode="aware")
    assert [list(r) for r in result.result_rows] == [row(n) for n in range(100)]
    assert int(result.summary["read_rows"]) == 100


def test_nanoseconds_survive(client: Client) -> None:
    client.insert("calls", [[1, 1_790_000_000_123_456_789]], column_names=["id", "started"])
    nanoseconds = client.command("SELECT toUnixTimestamp64Nano(started) FROM calls")
    assert nanoseconds == 1_790_000_000_123_456_789


def test_final_keeps_the_highest_revision(client: Client) -> None:
    for revision in (2, 3, 1):
        client.insert("calls", [row(7, revision, f"r{revision}")], column_names=COLUMNS)
    rows = client.query("SELECT id, note FROM calls FINAL").result_rows
    assert rows == [(7, "r3")]


def test_deduplication_token_drops_a_repeat(client: Client) -> None:
    for _ in range(2):
        client.insert(
            "calls", [row(1)], column_names=COLUMNS, settings={"insert_deduplication_token": "t1"}
        )
    client.insert(
        "calls", [row(1)], column_names=COLUMNS, settings={"insert_deduplication_token": "t2"}
    )
    assert client.command("SELECT count() FROM calls") == 2


def test_one_insert_is_one_part(client: Client) -> None:
    client.insert("calls", [row(n, note="x" * 500) for n in range(30_000)], column_names=COLUMNS)
    parts = client.query(
        "SELECT rows FROM system.parts WHERE active AND table = 'calls' "
        "AND database = {database:String}",
        parameters={"database": client.database},
    ).result_rows
    assert parts == [(30_000,)]


def test_parameters_settings_and_database(client: Client) -> None:
    nasty = "it's \\ \t\n` \" é"
    rows = client.query(
        "SELECT {text:String}, {n:UInt8}, {list:Array(String)}, currentDatabase(), "
        "getSetting('max_threads')",
        parameters={"text": nasty, "n": 5, "list": ["a'b", "c"]},
        settings={"max_threads": 1},
    ).result_rows
    assert rows == [(nasty, 5, ["a'b", "c"], client.database, 1)]
    # and nothing of it is left for the next request
    assert client.command("SELECT getSetting('max_threads')") == 2


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nope FROM calls", 47),
        ("SELECT * FROM nope", 60),
        ("SELEKT 1", 62),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT 'open", 62),
        ("SELECT throwIf(1)", 395),
    ],
)
def test_errors_carry_their_code(client: Client, sql: str, code: int) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query(sql)
    assert caught.value.code == code


def test_unknown_setting_is_named(clickhouse: ClickHouse) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(clickhouse, b"SELECT 1", "no_such_setting=1")
    assert caught.value.headers["X-ClickHouse-Exception-Code"] == "115"


def test_damaged_insert_inserts_nothing_and_harms_nothing(
    clickhouse: ClickHouse, client: Client
) -> None:
    good = client.raw_query("SELECT number AS id FROM numbers(1000)", fmt="Native")
    for damaged in (good[:-100], b"garbage" * 20):
        with pytest.raises(DatabaseError):
            client.raw_insert("calls", ["id"], damaged, fmt="Native")
    with pytest.raises(DatabaseError):
        client.raw_insert("calls", ["id"], b"not gzip", fmt="Native", compression="gzip")
    client.raw_insert("calls", ["id"], gzip.compress(good), fmt="Native", compression="gzip")
    assert client.command("SELECT count() FROM calls") == 1000


def test_an_insert_does_not_wait_behind_scans(client: Client, clickhouse: ClickHouse) -> None:
    scan = "SELECT sleepEachRow(0.3) FROM numbers(5) SETTINGS max_block_size = 1"
    # What the product does: the columns are asked for once.
    context = client.create_insert_context("calls", COLUMNS)
    threads = [threading.Thread(target=post, args=(clickhouse, scan.encode())) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    before = time.monotonic()
    context.data = [row(1)]
    client.insert(context=context)
    assert time.monotonic() - before < 1.0
    assert any(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()


def post(
    server: ClickHouse, body: bytes, query: str = "", token: str | None = None
) -> tuple[bytes, dict[str, str]]:
    request = urllib.request.Request(f"{server.url}/?{query}", data=body)
    request.add_header(TOKEN_HEADER, server.token if token is None else token)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read(), dict(response.headers)


def test_plain_http(clickhouse: ClickHouse) -> None:
    with urllib.request.urlopen(f"{clickhouse.url}/ping") as response:
        assert response.read() == b"Ok.\n"
    with urllib.request.urlopen(f"{clickhouse.url}/?query=SELECT%201%2B1") as response:
        assert response.read() == b"2\n"
    body, headers = post(clickhouse, b"SELECT 1 AS x FORMAT JSON", "query_id=q1&session_id=s1")
    assert json.loads(body)["data"] == [{"x": 1}]
    assert headers["X-ClickHouse-Format"] == "JSON"
    assert headers["X-ClickHouse-Query-Id"] == "q1"
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    body, _ = post(clickhouse, b"SELECT 1 AS x", "default_format=JSONEachRow")
    assert json.loads(body) == {"x": 1}


def test_insert_data_in_every_place(client: Client, clickhouse: ClickHouse) -> None:
    where = f"database={client.database}"
    post(
        clickhouse,
        b'{"id":1,"note":"format values select"}',
        where + "&query=" + ("INSERT%20INTO%20calls%20FORMAT%20JSONEachRow"),
    )
    post(clickhouse, b'INSERT INTO calls (id, note) FORMAT JSONEachRow {"id":2}', where)
    post(clickhouse, b"INSERT INTO calls (id, note) VALUES (3, 'a;b'), (4, 'VALUES (9)')", where)
    post(clickhouse, b"/* format x */ insert into calls (id) select 5", where)
    post(clickhouse, b"INSERT INTO calls (id) SETTINGS max_threads=1 FORMAT CSV\n6\n7\n", where)
    assert client.command("SELECT groupArray(id) FROM (SELECT id FROM calls ORDER BY id)") == (
        "[1,2,3,4,5,6,7]"
    )


def test_limits_stop_a_query(client: Client) -> None:
    for sql, code in (
        ("SELECT groupArray(number) FROM numbers(100000000)", 241),
        ("SELECT number FROM numbers(2000000)", 396),
        ("SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_execution_time = 1", 159),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.query(sql)
        assert caught.value.code == code
