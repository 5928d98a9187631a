"""Without the product's token a request can read tables and do nothing else."""

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import clickhouse_connect
import pytest

from stack.clickhouse.process import ClickHouse
from stack.clickhouse.server import TOKEN_HEADER

SECRET = "s3cret-of-the-host"
READONLY = "164"


def ask(server: ClickHouse, sql: str, query: str = "", token: str = "") -> str:
    request = urllib.request.Request(f"{server.url}/?{query}", data=sql.encode())
    if token:
        request.add_header(TOKEN_HEADER, token)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read().decode()


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET + "\n")
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "WITH 1 AS x SELECT x",
        "-- a comment\nselect 1;",
        "SHOW TABLES FROM system",
        "DESCRIBE TABLE system.one",
        "EXISTS TABLE system.one",
        "EXPLAIN SELECT 1",
        "SELECT count() FROM numbers(10)",
        "SELECT 'file(x) INTO a' AS url, format('{}', 1), replaceAll('a/b', '/', '-')",
        "FROM numbers(3) SELECT number",
    ],
)
def test_reading_is_allowed(clickhouse: ClickHouse, sql: str) -> None:
    assert ask(clickhouse, sql)


def test_a_stock_client_without_the_token_reads(clickhouse: ClickHouse) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=clickhouse.port)
    assert client.query("SELECT {x:UInt8}", parameters={"x": 3}).result_rows == [(3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "DROP DATABASE default",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t FORMAT CSV\n1\n",
        "INSERT INTO FUNCTION file('{file}', 'CSV', 'a String') VALUES ('x')",
        "/* SELECT */ TRUNCATE TABLE t",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SYSTEM SHUTDOWN",
        "USE system",
        "ATTACH TABLE x FROM '{file}' (a Int8) ENGINE = Log",
        "BACKUP DATABASE default TO File('{file}')",
        "OPTIMIZE TABLE t",
        "EXPLAIN SELECT * FROM file('{file}')",
        "SELECT 1; DROP DATABASE default",
        "SELECT * FROM file('{file}', 'LineAsString')",
        "SELECT * FROM FILE ('{file}', 'LineAsString')",
        "SELECT * FROM `file`('{file}', LineAsString)",
        "SELECT * FROM \"fi\\x6ce\"('{file}', LineAsString)",
        "SELECT * FROM file/**/('{file}', 'LineAsString')",
        "SELECT * FROM file -- x\n('{file}', 'LineAsString')",
        "SELECT file('{file}')",
        "WITH file('{file}') AS x SELECT x",
        "DESCRIBE TABLE file('{file}', 'LineAsString')",
        "DESCRIBE '{file}'",
        "EXISTS TABLE `{file}`",
        "EXISTS TABLE '{file}'",
        "SELECT * FROM `{file}`",
        'SELECT * FROM "{file}"',
        "SELECT * FROM '{file}'",
        "SELECT * FROM numbers(1), '{file}'",
        "SELECT 'x' IN `{file}`",
        "SELECT hasColumnInTable('default', '{file}', 'c1')",
        "SELECT * FROM loop('default', '{file}')",
        "SELECT * FROM view(SELECT * FROM file('{file}', 'LineAsString'))",
        "SELECT * FROM (SELECT * FROM url('file://{file}', 'LineAsString'))",
        "SELECT 1 INTO OUTFILE '{file}.out'",
        "SELECT 1 INTO/**/outfile'{file}.out'",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('cat {file}', 'LineAsString', 'a String')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM sqlite('{file}', 'x')",
        "SELECT * FROM Python(os)",
        "SELECT * FROM input('a String')",
        "SELECT sleep(3)",
        "SELECT aiGenerate('x', 'hello')",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_anything_else_is_refused(clickhouse: ClickHouse, host_file: Path, sql: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(clickhouse, sql.replace("{file}", str(host_file)))
    body = caught.value.read().decode()
    assert SECRET not in body
    # Syntax errors too are refusals; nothing may get as far as running.
    assert caught.value.headers["X-ClickHouse-Exception-Code"] in (READONLY, "62", "60", "46")
    assert not host_file.with_name("secret.txt.out").exists()


def test_parameters_and_settings_cannot_widen_it(clickhouse: ClickHouse, host_file: Path) -> None:
    path = urllib.parse.quote(str(host_file), safe="")
    for query, sql in (
        (f"param_x={path}", "SELECT * FROM {x:Identifier}"),
        (f"param_x={path}", "SELECT * FROM { x : identifier }"),
        (f"param_x={path}", "EXISTS TABLE {x:Identifier}"),
        (f"param_x={path}", "SELECT file({x:String})"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(clickhouse, sql, query)
        assert caught.value.headers["X-ClickHouse-Exception-Code"] == READONLY
    settings = "readonly=0&max_memory_usage=0&max_execution_time=9999&max_result_rows=7"
    seen = ask(
        clickhouse,
        "SELECT getSetting('readonly'), getSetting('max_memory_usage'), "
        "getSetting('max_execution_time'), getSetting('max_result_rows')",
        settings,
    )
    assert seen.split() == ["1", str(384 << 20), "30", "7"]


def test_a_wrong_token_and_a_get_are_read_only(clickhouse: ClickHouse) -> None:
    with pytest.raises(urllib.error.HTTPError):
        ask(clickhouse, "CREATE TABLE x (a Int8) ENGINE = Memory", token="wrong")
    request = urllib.request.Request(
        f"{clickhouse.url}/?query=CREATE%20TABLE%20x%20(a%20Int8)%20ENGINE=Memory",
        headers={TOKEN_HEADER: clickhouse.token},
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request)
    assert ask(clickhouse, "EXISTS TABLE x") == "0\n"


def test_views_with_settings_still_read(clickhouse: ClickHouse) -> None:
    for sql in (
        "CREATE TABLE ro_t (a Int8) ENGINE = ReplacingMergeTree ORDER BY a",
        "INSERT INTO ro_t VALUES (1)",
        "CREATE VIEW ro_v AS SELECT * FROM ro_t FINAL "
        "SETTINGS do_not_merge_across_partitions_select_final = 1",
    ):
        ask(clickhouse, sql, token=clickhouse.token)
    assert ask(clickhouse, "SELECT * FROM ro_v") == "1\n"
